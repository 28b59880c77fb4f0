// Buttons for passkeys. They stay hidden where the browser has none; the page has another way beside each.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  if (!window.PublicKeyCredential) return;
  const forms = window.allauth.webauthn.forms;
  const starts = { login: forms.loginForm, add: forms.addForm, authenticate: forms.authenticateForm };
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const kind = form.dataset.passkey;
    const ids = { credential: "id_credential", data: "js_data", passwordless: "id_passwordless" };
    ids[kind] = "passkey_button";
    form.hidden = false;
    starts[kind]({ ids });
  }
});

// What went wrong is said in the page, and read aloud.
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const place = document.getElementById("passkey_error");
  if (place) {
    place.textContent = `The passkey was not used (${event.detail.exception.message}). Try again, or use another way.`;
    place.hidden = false;
  }
});
