// Groups at rest: in this browser under the graph's fingerprint, and in a JSON file to keep or pass on.

const GROUPS_FORMAT = 1;
const keyOf = (graph) => `microtome.groups.${graph.fingerprint}`;

function groupsToJson(graph, groups) {
  const rows = groups.map((group) => ({ name: group.name, nodes: group.nodes.map((node) => node.id) }));
  return { kind: "groups", format: GROUPS_FORMAT, fingerprint: graph.fingerprint, groups: rows };
}

/** Groups and what had to be said about them. Throws with a message for people when it is no such file. */
function groupsFromText(graph, text) {
  const file = parsed(text);
  const rows = file?.groups;
  if (file?.kind !== "groups" || file.format !== GROUPS_FORMAT || !Array.isArray(rows) || !rows.every(isGroup)) {
    throw new Error("This is no file of groups that this page can read.");
  }
  const groups = rows.map((row) => ({
    name: row.name,
    nodes: [...new Set(row.nodes)].map((id) => graph.byId.get(id)).filter((node) => node !== undefined),
  }));
  const lost = rows.reduce((sum, row) => sum + new Set(row.nodes).size, 0) - groups.reduce((sum, g) => sum + g.nodes.length, 0);
  const other = file.fingerprint === graph.fingerprint ? "" : " They were made on another graph.";
  const missing = lost > 0 ? ` ${counted(lost, "node")} of them ${lost === 1 ? "is" : "are"} not in this graph.` : "";
  return { groups, message: `${counted(groups.length, "group")} loaded.${other}${missing}` };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("This is no JSON file.");
  }
}

function isGroup(row) {
  return typeof row?.name === "string" && Array.isArray(row.nodes) && row.nodes.every((id) => typeof id === "string");
}

/** Returns what to tell the person, "" when all went well: a browser may forbid storage to a local file. */
function rememberGroups(graph, groups) {
  try {
    if (groups.length === 0) localStorage.removeItem(keyOf(graph));
    else localStorage.setItem(keyOf(graph), JSON.stringify(groupsToJson(graph, groups)));
    return "";
  } catch {
    return "This browser keeps nothing for this page; save the groups as a file.";
  }
}

function rememberedGroups(graph) {
  try {
    const text = localStorage.getItem(keyOf(graph));
    return text === null ? [] : groupsFromText(graph, text).groups;
  } catch {
    return []; // no storage here, or something else wrote under our key: begin without groups
  }
}

function download(name, value) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 1)], { type: "application/json" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
