"""Open pages in headless Chromium and print what they did, as JSON.

Run as a program: a browser driven from the test process would leave its event loop behind,
and every warning is an error there.
"""

import json
import sys

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]

#: A link into a closed check has to open it.
REVEAL = """() => {
  const link = document.querySelector('#audit table a:not([href="#check-3"])');
  if (!link) return null;
  // Not a click: where escaping is undone a base element would lead it off the page.
  location.hash = link.getAttribute('href');
  return document.querySelector(link.getAttribute('href')).closest('details').open;
}"""

#: Paper cannot be opened: what is closed on the screen has to be printed.
UNPRINTED = """() => [...document.querySelectorAll('details > div')].filter(
  e => !e.checkVisibility({contentVisibilityAuto: true})).length"""

#: What is seen only when it is opened has to fit as well.
OPEN = "() => document.querySelectorAll('details').forEach(d => { d.open = true; })"

MEASURE = """() => ({
  images: document.images.length,
  broken: [...document.images].filter(i => !i.complete || i.naturalWidth === 0).length,
  no_alt: [...document.images].filter(i => !i.alt).length,
  scripts: document.scripts.length,
  headline: document.getElementById('headline')?.checkVisibility() ?? false,
  h1: document.querySelectorAll('h1').length,
  landmarks: ['header', 'nav', 'main', 'footer'].filter(t => document.querySelector(t)).length,
  bare_headers: [...document.querySelectorAll('th')].filter(h => !h.scope).length,
  dead_links: [...document.querySelectorAll('a')].filter(
    a => !document.getElementById(a.getAttribute('href').slice(1))).length,
  duplicate_ids: (ids => ids.length - new Set(ids).size)(
    [...document.querySelectorAll('[id]')].map(e => e.id)),
  checks: document.querySelectorAll('details.check').length,
  outside: [...document.querySelectorAll('#audit img, #audit td, #audit th, #audit p, #audit li')]
    .filter(e => !e.closest('.wide') && e.getClientRects().length &&
      (e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 ||
       e.getBoundingClientRect().left < -1)).length,
  cut: [...document.querySelectorAll('#audit td, #audit th, #audit p, #audit .badge')]
    .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).length,
  nameless: [...document.querySelectorAll('.wide')].filter(
    e => !e.getAttribute('aria-label')).length,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
})"""


def probe(browser, path: str, scheme: str, width: int) -> dict:
    """Return what the page at `path` did and holds."""
    seen = {"dialogs": 0, "requests": [], "blocked": [], "console": []}
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})

    def dialog(box) -> None:
        seen["dialogs"] += 1
        box.dismiss()

    page.on("dialog", dialog)
    page.on("request", lambda r: seen["requests"].append(r.url[:200]))
    page.on("requestfailed", lambda r: seen["blocked"].append([r.url[:200], r.failure]))
    page.on("console", lambda m: seen["console"].append(m.text[:300]))
    page.on("pageerror", lambda e: seen["console"].append(str(e)[:300]))
    address = f"file://{path}"
    page.goto(address)
    page.wait_for_timeout(200)
    page.emulate_media(media="print")
    seen["unprinted"] = page.evaluate(UNPRINTED)
    page.emulate_media(media="screen")
    seen["revealed"] = page.evaluate(REVEAL)
    page.evaluate(OPEN)
    page.wait_for_timeout(100)
    seen |= page.evaluate(MEASURE)
    seen["requests"] = [
        u for u in seen["requests"] if u.split("#")[0] != address and not u.startswith("data:")
    ]
    page.close()
    return seen


def main(executable: str, pages: list[str]) -> None:
    """Probe every ``path|scheme|width`` and print one list."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        found = []
        for page in pages:
            path, scheme, width = page.rsplit("|", 2)
            found.append(probe(browser, path, scheme, int(width)))
        browser.close()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
