// Forms that a passkey answers. Without this file, or where the browser has no passkeys, they stay hidden and a code does.
"use strict";

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function answer(form) {
  const publicKey = JSON.parse(form.dataset.options);
  publicKey.challenge = toBytes(publicKey.challenge);
  for (const list of [publicKey.allowCredentials, publicKey.excludeCredentials]) {
    for (const each of list || []) each.id = toBytes(each.id);
  }
  const makes = form.dataset.passkey === "create";
  if (makes) publicKey.user.id = toBytes(publicKey.user.id);
  const credential = await (makes ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }));
  const response = { clientDataJSON: toText(credential.response.clientDataJSON) };
  if (makes) {
    response.attestationObject = toText(credential.response.attestationObject);
  } else {
    response.authenticatorData = toText(credential.response.authenticatorData);
    response.signature = toText(credential.response.signature);
    if (credential.response.userHandle) response.userHandle = toText(credential.response.userHandle);
  }
  return JSON.stringify({
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  });
}

const hasPasskeys = window.isSecureContext && Boolean(window.PublicKeyCredential);
for (const note of document.querySelectorAll("[data-no-passkeys]")) note.hidden = hasPasskeys;
for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = !hasPasskeys;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    const failed = form.querySelector("[data-passkey-failed]");
    button.disabled = true;
    failed.hidden = true;
    try {
      form.elements[form.dataset.into].value = await answer(form);
    } catch (error) {
      // Cancelled, too slow, or none fits: browsers do not say which.
      failed.hidden = false;
      failed.dataset.error = error.name;
      button.disabled = false;
      return;
    }
    form.submit();
  });
}
