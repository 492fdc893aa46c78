package router

import (
	"embed"
	"net/http"

	"github.com/go-chi/chi/v5"
)

//go:embed ui
var uiFiles embed.FS

// uiAssets are the files of the status page.
var uiAssets = []struct{ route, file, kind string }{
	{"ui", "ui/page.html", "text/html; charset=utf-8"},
	{"ui/page.css", "ui/page.css", "text/css; charset=utf-8"},
	{"ui/page.js", "ui/page.js", "text/javascript; charset=utf-8"},
	{"ui/icon.svg", "ui/icon.svg", "image/svg+xml"},
}

// uiPolicy lets the page load and ask what is on this very listener, and nothing else; no other page may frame it.
const uiPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// showPage adds the status page. Its files tell nothing, and are not guarded: a browser sends no header of ours when it opens them, and may come by a link.
// What the page asks for then it asks with the header.
func (rt *router) showPage(m *chi.Mux, app string) {
	for _, asset := range uiAssets {
		rt.own(m, app+asset.route, serveAsset(asset.file, asset.kind), http.MethodGet)
	}
}

func serveAsset(file, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		body, err := uiFiles.ReadFile(file)
		if err != nil {
			writeError(w, http.StatusInternalServerError, "the status page is not in this binary; build it anew")
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", uiPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(body) // whoever is gone needs no page
	}
}
