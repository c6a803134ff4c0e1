// The run cards: how what is shown was made.

panel("card", (host, { cards }) => {
  for (const { of, rows } of cards) {
    const body = rows.map(([name, text]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text)));
    host.append(
      make(
        "details",
        { class: "card" },
        make("summary", {}, `Run card of the ${of}`),
        make("div", { class: "wide" }, make("table", {}, make("tbody", {}, body))),
      ),
    );
  }
});
