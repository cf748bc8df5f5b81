// The orders page: working orders drawn here, live; the list of all orders comes from the server.
import { Orders } from "./regions/activity.js";
import { start } from "./fresh_page.js";

const working = new Orders(document.getElementById("orders"));
const part = {
  render: (view, touched) => touched.has("orders") && working.render(view, touched.get("orders")),
  tick: () => working.tick(),
};
part.render(start(part), new Map([["orders", null]]));
