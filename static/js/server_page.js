// A page drawn by the server alone, and kept fresh.
import { start } from "./fresh_page.js";

start();
