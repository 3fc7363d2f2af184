// Copies examples and sends requests; the page is whole without it.
"use strict";

// Without TLS, browsers have no clipboard for pages of other machines.
for (const figure of navigator.clipboard ? document.querySelectorAll("figure.copied") : []) {
    const button = document.createElement("button");
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(figure.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    figure.append(button);
}

function requestOf(form) {
    let path = form.dataset.path;
    const query = new URLSearchParams();
    const headers = {};
    const token = document.querySelector("#token").value.trim();
    const session = document.cookie.match(/(?:^|; )_csrf_token=([^;]*)/);
    if (token) headers.Authorization = `Bearer ${token}`;
    else if (session) headers["X-CSRF-Token"] = session[1];
    for (const input of form.querySelectorAll("input")) {
        if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
        else if (input.value && input.dataset.in === "query") query.set(input.name, input.value);
        else if (input.value) headers[input.name] = input.value;
    }
    const body = form.querySelector("textarea")?.value;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    // Beside this page, wherever a proxy has put the service.
    const url = new URL(`.${path}${query.size ? `?${query}` : ""}`, document.baseURI);
    return [url, { method: form.dataset.method, headers, body, credentials: "same-origin" }];
}

function spell(text) {
    try {
        return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        return text;
    }
}

for (const form of document.querySelectorAll("form")) {
    const shown = form.parentElement.querySelector("pre");
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        shown.hidden = false;
        try {
            const answer = await fetch(...requestOf(form));
            shown.firstElementChild.textContent = `${answer.status} ${answer.statusText}\n${spell(await answer.text())}`;
        } catch (error) {
            shown.firstElementChild.textContent = `No answer: ${error.message}`;
        }
    });
}
