// Starts the page: one section a panel, in the order given. The head of the page needs no heading of its own.

function startPage() {
  const { panels } = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page");
  for (const { name, title, data } of panels) {
    const host = make("section", { class: "panel", id: name, "aria-label": title });
    if (name !== panels[0].name) host.append(make("h2", {}, title));
    page.append(host); // first into the page, since a drawing asks for its size
    drawPanel(host, name, data);
  }
}

// Paper is white: the canvas listens to the same events, after this, and paints itself anew.
window.addEventListener("beforeprint", () => document.documentElement.setAttribute("data-paper", ""));
window.addEventListener("afterprint", () => document.documentElement.removeAttribute("data-paper"));
startPage();
