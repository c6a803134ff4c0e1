// Groups of nodes that the reader makes, names and keeps.

/** Puts a node into the current group or takes it out; the first node makes the first group. */
function toggleMember(store, node, onlyAdd = false) {
  const { groups, current } = store.get();
  if (groups.length === 0) {
    store.set({ groups: [{ name: "Group 1", nodes: [node] }], current: 0 });
    return;
  }
  const inside = groups[current].nodes.includes(node);
  if (inside && onlyAdd) return;
  const nodes = inside ? groups[current].nodes.filter((one) => one !== node) : [...groups[current].nodes, node];
  store.set({ groups: replaced(groups, current, { ...groups[current], nodes }) });
}

function replaced(groups, at, group) {
  return groups.map((one, index) => (index === at ? group : one));
}

function graphGroups(graph, store) {
  const list = make("ol", { class: "groups" });
  const message = make("output", { class: "message" });
  const file = make("input", { type: "file", accept: "application/json,.json", id: "groups-file", class: "visually-hidden" });
  file.addEventListener("change", async () => {
    if (file.files.length === 0) return;
    try {
      const loaded = groupsFromText(graph, await file.files[0].text());
      store.set({ groups: loaded.groups, current: Math.max(0, loaded.groups.length - 1) });
      message.textContent = loaded.message;
    } catch (error) {
      message.textContent = error.message;
    }
    file.value = "";
  });
  const save = button("Save as a file", "Every group, as JSON", () => download("groups.json", groupsToJson(graph, store.get().groups)), { id: "save-groups" });
  const add = button("New group", "Then shift-click nodes", () => addGroup(store), { id: "new-group" });
  const load = make("label", { for: "groups-file", class: "button" }, "Load a file");

  let drawn = null;
  const draw = ({ groups, current }) => {
    if (drawn !== null && groups === drawn.groups && current === drawn.current) return;
    if (drawn !== null && groups !== drawn.groups) message.textContent = rememberGroups(graph, groups) || message.textContent;
    drawn = { groups, current };
    save.disabled = groups.length === 0;
    if (!list.contains(document.activeElement) || document.activeElement.tagName !== "INPUT") {
      list.replaceChildren(...groups.map((group, at) => groupItem(group, at, at === current, store)));
    }
  };
  store.watch(draw);
  draw(store.get());
  return make(
    "section",
    { class: "grouping", "aria-label": "Groups" },
    make("h3", {}, "Groups"),
    make("p", { class: "hint" }, "Shift-click nodes to put them into the marked group. Groups stay in this browser; a file takes them elsewhere."),
    list,
    make("div", { class: "actions" }, add, save, file, load, message),
  );
}

function addGroup(store) {
  const { groups } = store.get();
  store.set({ groups: [...groups, { name: `Group ${groups.length + 1}`, nodes: [] }], current: groups.length });
}

function groupItem(group, at, isCurrent, store) {
  const name = make("input", { type: "text", value: group.name, "aria-label": "Name of the group", maxlength: 200 });
  name.addEventListener("input", () => {
    const { groups } = store.get();
    store.set({ groups: replaced(groups, at, { ...groups[at], name: name.value }) });
  });
  const mark = make("input", { type: "radio", name: "current-group", checked: isCurrent, title: "shift-click puts nodes here" });
  mark.setAttribute("aria-label", `Put nodes into ${group.name}`);
  mark.addEventListener("change", () => store.set({ current: at }));
  const remove = button("Remove", "Removes the group, not its nodes", () => {
    const { groups, current } = store.get();
    store.set({ groups: groups.filter((_, index) => index !== at), current: Math.max(0, current - (at <= current ? 1 : 0)) });
  });
  const total = group.nodes.reduce((sum, node) => sum + node.attribution, 0);
  return make(
    "li",
    { class: `group group-${(at % 6) + 1}` },
    make("div", { class: "group-head" }, mark, name, make("span", { class: "count" }, counted(group.nodes.length, "node"), ", attribution ", figure(total, { signed: true, digits: 3 })), remove),
    make("div", { class: "members" }, group.nodes.map((node) => nodeButton(node, store))),
  );
}
