// Package memsizeui stands in for a debugging page of go-ethereum that reaches into the Go runtime and no longer links without a special flag.
// No driver serves that page.
package memsizeui

import "net/http"

// Handler answers every request with "not found".
type Handler struct{}

// ServeHTTP implements http.Handler.
func (*Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }
