// Sets the stored theme. The page loads this file before its first paint (`blocking="render"`), so that it does not flash.

const KEY = "onewrite-theme";
const root = document.documentElement;

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    // Storage can be forbidden. The system's theme is used then.
    return null;
  }
}

if (["light", "dark"].includes(stored())) root.dataset.theme = stored();

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

/** Connects the button. Without a choice, the page follows the system. */
export function buildTheme(button) {
  const label = () => button.setAttribute("aria-label", `Use the ${isDark() ? "light" : "dark"} theme`);
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // The choice lasts until the page is closed.
    }
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
}
