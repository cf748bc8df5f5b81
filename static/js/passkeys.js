// Passkeys: asks the browser for one and posts its answer. The texts stand in the page, beside the button.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const listed = (entries) => entries?.map((entry) => ({ ...entry, id: bytes(entry.id) }));

for (const form of document.querySelectorAll("[data-passkey]")) {
  const button = form.querySelector("button[type=button]"), problem = form.querySelector("#passkey-problem");
  const say = (what) => {
    problem.textContent = problem.dataset[what];
    problem.hidden = false;
  };
  if (!usable()) {
    button.disabled = true;
    if (form.dataset.passkey === "sign-in") form.hidden = true; // the password is right there
    else say("unsupported");
    continue;
  }
  button.addEventListener("click", async () => {
    button.disabled = true;
    problem.hidden = true;
    try {
      const answer = form.dataset.passkey === "add" ? await made(form) : await shown(form);
      form.elements.credential.value = JSON.stringify(answer);
      form.submit();
    } catch (error) {
      say({ NotAllowedError: "cancelled", AbortError: "cancelled", InvalidStateError: "known" }[error.name] ?? "failed");
      button.disabled = false;
    }
  });
}

// A passkey belongs to a name, never to a bare address.
function usable() {
  return "PublicKeyCredential" in window && isSecureContext && !/^[\d.]+$|^\[/.test(location.hostname);
}

async function made(form) {
  const { publicKey } = options().creation_options, alone = form.elements.passwordless.checked;
  const residentKey = alone ? "required" : "discouraged";
  const credential = await navigator.credentials.create({
    publicKey: {
      ...publicKey,
      challenge: bytes(publicKey.challenge),
      user: { ...publicKey.user, id: bytes(publicKey.user.id) },
      excludeCredentials: listed(publicKey.excludeCredentials),
      authenticatorSelection: {
        ...publicKey.authenticatorSelection, residentKey, requireResidentKey: alone,
        ...(alone ? { userVerification: "required" } : {}),
      },
    },
  });
  const { response } = credential;
  return {
    ...head(credential),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
  };
}

async function shown(form) {
  const { publicKey } = (form.dataset.passkey === "sign-in" ? await asked(form) : options()).request_options;
  const credential = await navigator.credentials.get({
    publicKey: { ...publicKey, challenge: bytes(publicKey.challenge), allowCredentials: listed(publicKey.allowCredentials) },
  });
  const { response } = credential;
  return {
    ...head(credential),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: response.userHandle ? text(response.userHandle) : null,
    },
  };
}

async function asked(form) {
  const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

function options() {
  return JSON.parse(document.getElementById("passkey-options").textContent);
}

function head(credential) {
  return {
    id: credential.id, rawId: text(credential.rawId), type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment, clientExtensionResults: credential.getClientExtensionResults(),
  };
}
