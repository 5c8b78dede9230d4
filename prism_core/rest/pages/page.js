// Makes the page quicker to use. Whatever a form asks is answered by the server's own page, of which
// the answer is taken; without this script the whole page comes. Nothing is stored anywhere.

const LARGEST_PIECE = 256 * 1024;
const MOST_ROWS = 1000;
const SHOWN_ROWS = 20;
const TRIES = 6;

let key = ""; // where callers show one: in memory only

const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const one = (selector, inside = document) => inside.querySelector(selector);

function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...inside);
  return made;
}

// --- asking -----------------------------------------------------------------------------------

function ask(url, options = {}) {
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  return fetch(url, { ...options, headers, cache: "no-store", credentials: "same-origin" });
}

async function askPage(url, options = {}) {
  const answer = await ask(url, { ...options, headers: { Accept: "text/html", ...options.headers } });
  const text = await answer.text();
  const html = (answer.headers.get("content-type") || "").startsWith("text/html");
  return { ok: answer.ok, page: html ? new DOMParser().parseFromString(text, "text/html") : null, text };
}

function sent(form) {
  const data = new FormData(form);
  return form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
}

function problem(text, hint = "") {
  const box = element("div", { class: "problem" }, element("p", {}, element("b", {}, text)));
  if (hint) box.append(element("p", {}, hint));
  return box;
}

function problemOf(text) {
  try {
    const told = JSON.parse(text);
    return problem(told.detail || "There is no answer.", told.hint || "");
  } catch {
    return problem("There is no answer.", "Try again in a moment.");
  }
}

const unreachable = () => problem("The server cannot be reached.", "Perhaps its owner’s machine is off, or you are offline.");

// --- the form ---------------------------------------------------------------------------------

async function submit(form) {
  const button = one("button[type=submit]", form);
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  const began = performance.now();
  try {
    const options = { method: "POST", body: sent(form), headers: { "X-Prism-Part": "try" } };
    const { page, text } = await askPage(form.action.split("#")[0], options);
    const round = performance.now() - began;
    if (page && one("#answer", page)) takeAnswer(form, page, round);
    else if (page && one("[data-gate]", page)) takePage(page);
    else show(problemOf(text));
  } catch {
    show(unreachable());
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function takeAnswer(form, page, round) {
  const open = one("#requests details[open] summary")?.textContent;
  const time = one("[data-round]", page);
  if (time) time.textContent = `, ${round < 10 ? round.toFixed(1) : Math.round(round)} ms there and back`;
  for (const id of ["answer", "requests"]) one(`#${id}`).replaceChildren(...one(`#${id}`, page).childNodes);
  for (const summary of all("#requests summary")) summary.parentNode.open = summary.textContent === open;
  takeErrors(form, page);
  dressRequests();
  one("#answer").scrollIntoView({ block: "nearest" });
}

// With an answer come the fields that are wrong, and no others.
function takeErrors(form, page) {
  for (const field of all("[data-field]", form)) {
    const told = one(`[data-field="${field.dataset.field}"]`, page);
    const [control, error] = [one("[id]", field), told && one(".error", told)];
    one(".error", field)?.remove();
    field.classList.toggle("wrong", Boolean(error));
    control.removeAttribute("aria-invalid");
    const about = one(".hint", field) ? [one(".hint", field).id] : [];
    if (error) {
      field.append(error);
      control.setAttribute("aria-invalid", "true");
      about.push(error.id);
    }
    if (about.length) control.setAttribute("aria-describedby", about.join(" "));
    else control.removeAttribute("aria-describedby");
  }
  one("[aria-invalid=true]", form)?.focus();
}

function show(...nodes) {
  one("#answer").replaceChildren(...nodes);
  one("#answer").scrollIntoView({ block: "nearest" });
}

function fillIn(form) {
  for (const control of all("[data-example]", form)) {
    if (control.type === "checkbox") control.checked = control.dataset.example !== "";
    else if (control.name) control.value = control.dataset.example;
  }
}

// --- files ------------------------------------------------------------------------------------

function takeDrops(place) {
  const input = one("input[type=file]", place);
  const over = (event) => {
    event.preventDefault();
    place.classList.toggle("over", event.type === "dragover");
  };
  place.addEventListener("dragover", over);
  place.addEventListener("dragleave", over);
  place.addEventListener("drop", (event) => {
    over(event);
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

function preview(input) {
  const image = one(".preview", input.closest("[data-drop]"));
  if (image.src) URL.revokeObjectURL(image.src);
  image.hidden = !input.files.length;
  if (input.files.length) image.src = URL.createObjectURL(input.files[0]);
}

// --- tables -----------------------------------------------------------------------------------

// A line end within quotes does not end a row. Blank lines are no rows.
function recordsOf(text) {
  const records = [];
  let start = 0;
  let quoted = false;
  const take = (end) => end > start && records.push(text.slice(start, end));
  for (const mark of text.matchAll(/"|\r\n?|\n/g)) {
    if (mark[0] === '"') quoted = !quoted;
    else if (!quoted) {
      take(mark.index);
      start = mark.index + mark[0].length;
    }
  }
  take(text.length);
  return records;
}

function cellsOf(record) {
  const cells = [];
  for (const [, quoted, plain] of record.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) {
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
  }
  return cells;
}

function piecesOf(header, rows, most) {
  const size = (text) => new TextEncoder().encode(text).length + 1;
  const pieces = [];
  let piece = null;
  for (const row of rows) {
    const more = size(row);
    if (!piece || piece.bytes + more > most || piece.rows.length >= MOST_ROWS) {
      piece = { rows: [], bytes: size(header) };
      pieces.push(piece);
    }
    piece.rows.push(row);
    piece.bytes += more;
  }
  return pieces.map(({ rows }) => rows);
}

async function askRows(url, header, rows) {
  const body = [header, ...rows, ""].join("\n");
  const headers = { "Content-Type": "text/csv", Accept: "text/csv" };
  for (let tried = 1; ; tried += 1) {
    const answer = await ask(url, { method: "POST", headers, body });
    const text = await answer.text();
    const wait = Number(answer.headers.get("retry-after") || 0);
    if (answer.ok) return recordsOf(text);
    if (![429, 503].includes(answer.status) || !wait || wait > 60 || tried === TRIES) throw text;
    await new Promise((done) => setTimeout(done, wait * 1000));
  }
}

async function predictTable(input, place) {
  const [file] = input.files;
  if (!file) return;
  const bar = element("progress", { "aria-label": "Rows that are answered", max: 1, value: 0 });
  show(element("p", {}, `Asking about the rows of ${file.name} …`), bar);
  let first = 0;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    const [header, ...rows] = recordsOf(text);
    if (!rows.length) return show(problem("The file holds no rows.", "Its first line names the columns, then there is a line for each row."));
    const most = Math.min(LARGEST_PIECE, Number(place.dataset.max));
    const answers = [];
    let columns = "";
    for (const piece of piecesOf(header, rows, most)) {
      const [named, ...told] = await askRows(place.dataset.predict, header, piece);
      columns = named;
      for (const answer of told) answers.push(answer);
      first += piece.length;
      bar.value = first / rows.length;
    }
    showTable(file.name, `${header},${columns}`, rows.map((row, at) => `${row},${answers[at]}`), cellsOf(columns).length);
  } catch (error) {
    showTableProblem(error, first);
  } finally {
    input.value = ""; // the same file, mended, is a change again
  }
}

// The file has every digit.
const shortened = (cell) => (/^-?\d*\.\d{5,}(e[-+]?\d+)?$/i.test(cell) ? String(Number(Number(cell).toPrecision(4))) : cell);

function showTable(name, header, rows, told) {
  const file = new Blob([[header, ...rows, ""].join("\n")], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(file), download: name.replace(/\.csv$/i, "") + "-answers.csv", class: "button" }, "Download the table");
  const seen = (record) => [...cellsOf(record).slice(-told).map(shortened), ...cellsOf(record).slice(0, -told)]; // answers first
  const body = rows.slice(0, SHOWN_ROWS).map((row) => element("tr", {}, ...seen(row).map((cell) => element("td", {}, cell))));
  const head = element("tr", {}, ...seen(header).map((cell) => element("th", { scope: "col" }, cell)));
  const table = element("table", { class: "table" }, element("thead", {}, head), element("tbody", {}, ...body));
  const count = `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "row is" : "rows are"} answered`;
  const shown = rows.length > SHOWN_ROWS ? `${count}; here are the first ${SHOWN_ROWS}.` : `${count}.`;
  show(element("p", {}, shown), element("p", { class: "acts" }, link), element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Rows and their answers" }, table));
}

function showTableProblem(error, first) {
  if (error instanceof TypeError && error.message.includes("encoded")) {
    return show(problem("The file is not UTF-8.", "Save it as CSV UTF-8."));
  }
  if (typeof error !== "string") return show(unreachable());
  const box = problemOf(error);
  let faults = [];
  try {
    faults = JSON.parse(error).details?.errors || [];
  } catch {
    // said already that there is no answer
  }
  const unknown = faults.filter(({ got }) => got === "an unknown name");
  const missing = faults.filter(({ got }) => got === "nothing");
  if (unknown.length + missing.length) {
    const names = (some) => some.map(({ column }) => column).join(", ");
    box.replaceChildren(element("p", {}, element("b", {}, "The columns are not those of the model.")));
    if (unknown.length) box.append(element("p", {}, `It does not know: ${names(unknown)}.`));
    if (missing.length) box.append(element("p", {}, `It needs: ${names(missing)}.`));
    return show(box);
  }
  const told = faults.slice(0, SHOWN_ROWS).map(({ row, column, expected, got }) => {
    const where = `Row ${first + row + 1}${column === "" ? "" : `, ${column}`}`;
    return element("li", {}, element("b", {}, where), `: expected ${expected}, got ${got}`);
  });
  if (told.length) {
    const count = JSON.parse(error).details.count;
    box.replaceChildren(element("p", {}, element("b", {}, `${count} ${count === 1 ? "value does" : "values do"} not fit.`)));
    box.append(element("p", {}, "Rows are counted from the first below the header."), element("ul", { class: "faults" }, ...told));
  }
  return show(box);
}

// --- requests ---------------------------------------------------------------------------------

function dressRequests() {
  for (const block of all("#requests pre")) {
    const button = element("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", () => copy(block, button));
    block.before(button);
  }
}

async function copy(block, button) {
  getSelection().selectAllChildren(block);
  try {
    await navigator.clipboard.writeText(block.textContent);
  } catch {
    document.execCommand("copy"); // without https, this is the only way
  }
  getSelection().removeAllRanges();
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

// --- gates ------------------------------------------------------------------------------------

// The token of a link stands in the fragment of its address, which no request ever holds.
const token = () => decodeURIComponent(location.hash.slice(1));

function takePage(page) {
  document.title = page.title;
  document.body.replaceWith(document.adoptNode(page.body));
  start();
}

async function open(form) {
  const words = one("[data-told]", form.closest("[data-gate]"));
  try {
    const { page, text } = form.dataset.open === "key"
      ? await askPage(location.href.split("#")[0])
      : await askPage(form.action, { method: "POST", body: sent(form) });
    const gate = page && one("[data-gate]", page);
    if (page && !gate) return takePage(page);
    if (gate && !one("form", gate)) return takePage(page); // it has ended meanwhile
    const told = gate ? one("[data-told]", gate).childNodes : [problemOf(text)];
    words.replaceChildren(...(told.length ? told : [problem("Your browser does not keep this page’s cookie.", "Allow it, then try again.")]));
  } catch {
    words.replaceChildren(unreachable());
  }
  key = "";
  form.hidden = false;
  // Where there is a password, that is what was wrong: the token came with the address.
  if (!form.elements.password) for (const field of all(".field", form)) field.hidden = false;
  all("input", form).find((input) => input.offsetParent)?.select();
  return undefined;
}

function startGate(gate) {
  const form = one("form", gate);
  if (!form) return;
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (form.dataset.open === "key") key = form.elements.key.value.trim();
    open(form);
  });
  const field = form.elements.token;
  if (!field || !token()) return;
  field.value = token();
  if (form.elements.password) {
    field.closest(".field").hidden = true;
    form.elements.password.focus();
  } else {
    form.hidden = true;
    one("[data-told]", gate).replaceChildren(element("p", {}, "One moment …"));
    open(form);
  }
}

// --- start ------------------------------------------------------------------------------------

function startForm(form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form);
  });
  one("[data-fill]", form)?.addEventListener("click", (event) => {
    event.preventDefault();
    fillIn(form);
  });
}

function start() {
  all("[data-form]").forEach(startForm);
  all("[data-drop]").forEach(takeDrops);
  all("[data-gate]").forEach(startGate);
  one("#picture")?.addEventListener("change", (event) => preview(event.target));
  const table = one("[data-rows]");
  if (table) {
    table.hidden = false;
    one("input", table).addEventListener("change", (event) => predictTable(event.target, table));
  }
  dressRequests();
}

start();
