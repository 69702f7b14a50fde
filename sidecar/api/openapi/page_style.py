"""How the page looks: light or dark as the reader's system is, and nothing loaded."""

STYLE = """
:root {
  color-scheme: light dark;
  --back: #fff; --fore: #1c2330; --soft: #5c6675; --line: #dfe3e8; --code: #f4f6f8;
  --link: #0b5cad; --get: #0a7a4b; --post: #0b5cad; --patch: #8a5a00; --delete: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14181f; --fore: #e4e8ee; --soft: #98a3b3; --line: #2c3440; --code: #1d232d;
    --link: #7db7ff; --get: #5fd39b; --post: #7db7ff; --patch: #e5b454; --delete: #ff8f87;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0; display: grid; grid-template-columns: minmax(16rem, 24rem) minmax(0, 1fr);
  background: var(--back); color: var(--fore);
  font: 15px/1.55 system-ui, sans-serif; overflow-wrap: break-word;
}
nav {
  position: sticky; top: 0; height: 100vh; overflow-y: auto;
  padding: 1rem; border-right: 1px solid var(--line); font-size: 12.5px;
}
nav h2 { margin: 1.2rem 0 .3rem; font-size: 13px; }
nav ul { margin: 0; padding: 0; list-style: none; }
nav a { display: flex; gap: .5rem; padding: .12rem 0; color: inherit; }
nav h2 a { color: var(--link); }
nav .method { flex: 0 0 3.6rem; }
nav span { min-width: 0; }
main { padding: 1.5rem clamp(1rem, 4vw, 3.5rem) 6rem; max-width: 68rem; }
h1 { margin: 0 0 .5rem; font-size: 1.7rem; }
.group > h2 {
  margin: 3.5rem 0 .4rem; padding-bottom: .3rem;
  border-bottom: 2px solid var(--line); font-size: 1.35rem;
}
article { padding: 1.4rem 0 .6rem; border-bottom: 1px solid var(--line); }
h3 { margin: 0 0 .4rem; font-size: 1rem; }
article h3 { display: flex; gap: .6rem; align-items: baseline; }
h3, code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
h4 { margin: 1rem 0 .3rem; font-size: .85rem; color: var(--soft); }
p { margin: .3rem 0 .6rem; max-width: 46rem; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
code { font-size: .9em; }
pre {
  margin: 0; padding: .7rem .9rem; overflow-x: auto;
  background: var(--code); border-radius: 6px; font-size: 12.5px; line-height: 1.45;
}
table { width: 100%; border-collapse: collapse; font-size: 13.5px; }
th, td { padding: .28rem .6rem .28rem 0; border-top: 1px solid var(--line); vertical-align: top; }
th { width: 28%; text-align: left; font-weight: normal; }
td.kind { width: 24%; }
.kind { color: var(--soft); }
.d1 th { padding-left: 1.2rem; }
.d2 th { padding-left: 2.4rem; }
.d3 th { padding-left: 3.6rem; }
small { color: var(--soft); font-size: .9em; }
.need { color: var(--delete); font-size: 11px; font-weight: normal; }
.key { color: var(--soft); }
.method { font-size: .85em; }
.get { color: var(--get); } .post { color: var(--post); }
.patch { color: var(--patch); } .delete { color: var(--delete); }
main ul { margin: 0 0 .3rem; padding: 0; list-style: none; }
main li { padding: .1rem 0; }
summary { cursor: pointer; color: var(--link); font-size: 13px; }
@media (max-width: 860px) {
  body { display: block; }
  nav { position: static; height: 40vh; border-right: 0; border-bottom: 1px solid var(--line); }
  th, td.kind { width: auto; }
}
@media print { nav { display: none; } body { display: block; } }
"""
