package up

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/home"
)

// A control takes commands on the installation's socket.
type control struct {
	net.Listener
	name string
}

func (c control) close() {
	c.Listener.Close()
	// The listener may know its socket by a shorter name that is no more.
	os.Remove(c.name)
}

// serveControl takes commands until the control is closed. stop is called for
// POST /stop.
func (in *installation) serveControl(stop func()) (*control, error) {
	name := home.Socket(in.home.Dir)
	l, err := ctl.Listen(name)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	handle(mux, "GET /status", func(ctx context.Context, _ struct{}) (ctl.Status, error) { return in.status(ctx) })
	handle(mux, "POST /stop", func(context.Context, struct{}) (struct{}, error) { stop(); return struct{}{}, nil })
	handle(mux, "POST /endpoint/start", func(ctx context.Context, r startRequest) (ctl.Endpoint, error) {
		e, err := in.startEndpoint(ctx, r)
		if err == nil {
			err = e.awaitReady(ctx)
		}
		if err != nil {
			return ctl.Endpoint{}, err
		}
		return e.describe(ctx), nil
	})
	handle(mux, "POST /endpoint/stop", func(ctx context.Context, r struct{ Name string }) (struct{}, error) {
		return struct{}{}, in.stopEndpoint(ctx, r.Name)
	})
	handle(mux, "POST /endpoint/use", in.useBranch)
	mux.HandleFunc("POST /endpoint/open", in.openReadOnly)
	handle(mux, "POST /branch/create", func(ctx context.Context, r ctl.BranchRequest) (ctl.Branch, error) {
		b, err := in.branches.create(ctx, r)
		return describeBranch(b), err
	})
	handle(mux, "POST /branch/delete", func(ctx context.Context, r struct{ Name string }) (ctl.BranchRemoval, error) {
		return in.branches.remove(ctx, r.Name)
	})
	handle(mux, "POST /import", func(ctx context.Context, r importRequest) (*importResult, error) {
		in.starting.Lock()
		defer in.starting.Unlock()
		return in.importDir(ctx, r, true)
	})
	handle(mux, "POST /export", in.describeExport)
	handle(mux, "GET /membership", func(ctx context.Context, _ struct{}) ([]ctl.Membership, error) { return in.showMembers(ctx) })
	handle(mux, "POST /membership", in.changeMembers)
	go http.Serve(l, mux)
	return &control{l, name}, nil
}

// handle serves one command: JSON in, JSON out, an error as {"error": text}.
func handle[In, Out any](mux *http.ServeMux, pattern string, f func(ctx context.Context, in In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var arg In
		if r.Method == "POST" {
			if err := json.NewDecoder(r.Body).Decode(&arg); err != nil {
				ctl.WriteError(w, http.StatusBadRequest, err)
				return
			}
		}
		out, err := f(r.Context(), arg)
		if err != nil {
			ctl.WriteError(w, http.StatusInternalServerError, err)
			return
		}
		ctl.WriteJSON(w, out)
	})
}
