// What the page holds, and how elements are made. Texts become text nodes, never markup.
const page = JSON.parse(document.getElementById("page-data").textContent);

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
};
const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const titled = (element, text) => { element.prepend(svg("title", {}, text)); return element; };

const mountOf = name => document.getElementById("mount-" + name);
const option = (value, text, selected) => html("option", {value, selected}, text);

// One call a frame, however often it is asked for.
const framed = action => {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; action(); });
  };
};
