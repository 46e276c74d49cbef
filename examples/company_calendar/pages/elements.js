// Building blocks of the page. Text only ever becomes text: nothing here takes HTML.

export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function badge(status) {
  if (!status) return null;
  const kind = status.toLowerCase().replaceAll(" ", "-");
  return element("span", { className: `badge badge-${kind}` }, status);
}

// A picture that can't be loaded leaves no hole.
export function picture(url, alt, className) {
  const image = element("img", { alt, className, loading: "lazy", referrerPolicy: "no-referrer" });
  image.addEventListener("error", () => image.remove());
  image.src = url;
  return image;
}

// The event's colour, for the style sheet to use.
export function tint(node, color) {
  if (/^#[0-9A-F]{6}$/.test(color ?? "")) node.style.setProperty("--event-color", color);
  return node;
}
