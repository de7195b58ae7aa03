package up

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/role"
	"xenon/realio/host"
)

// openReadOnly serves POST /endpoint/open: a read-only endpoint on a branch at
// a moment, for as long as whoever asked keeps the connection. So it ends with
// him, however he ends.
func (in *installation) openReadOnly(w http.ResponseWriter, r *http.Request) {
	var req ctl.OpenRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		ctl.WriteError(w, http.StatusBadRequest, err)
		return
	}
	e, err := in.startReadOnly(r.Context(), req)
	if err == nil {
		defer in.endReadOnly(e)
		err = e.awaitReady(r.Context())
	}
	if err != nil {
		ctl.WriteError(w, http.StatusInternalServerError, err)
		return
	}
	ctl.WriteJSON(w, e.describe(r.Context()))
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	select {
	case <-r.Context().Done():
	case <-e.done:
	}
}

func (in *installation) startReadOnly(ctx context.Context, r ctl.OpenRequest) (*endpoint, error) {
	b, err := in.branches.load(ctx, r.Branch)
	if err != nil {
		return nil, err
	}
	lsn, err := in.branches.resolve(ctx, b, r.At)
	if err != nil {
		return nil, err
	}
	// A pageserver that was just started knows nothing of the branch yet.
	if err := in.branches.awaitPages(ctx, b, lsn); err != nil {
		return nil, err
	}
	return in.startEndpoint(ctx, startRequest{Branch: b.Name, lookBack: startAt(b, lsn)})
}

// endReadOnly ends an endpoint of which nothing is kept, and removes what it
// leaves; its log stays if it never came to be ready.
func (in *installation) endReadOnly(e *endpoint) {
	started := e.describe(in.ctx).Starts > 0
	e.stop(2)
	<-e.done
	if err := in.sweepReadOnly(e, started); err != nil {
		in.opts.Log.Warn("something is left of a read-only endpoint", "endpoint", e.name, "error", err)
	}
	// Last: the next one of this name would be swept away with it.
	in.drop(e)
}

func (in *installation) sweepReadOnly(e *endpoint, started bool) error {
	if err := host.Clean(role.MountID(e.cfg.RunDir), e.cfg.RunDir); err != nil {
		return err
	}
	os.Remove(e.cfg.RunDir)
	os.Remove(in.home.Path("conf", "compute-"+e.name+".toml"))
	os.Remove(e.socket)
	if !started {
		return nil
	}
	if err := os.RemoveAll(e.cfg.Dir); err != nil {
		return fmt.Errorf("remove its scratch files: %w", err)
	}
	os.Remove(in.home.Path("log", "compute-"+e.name+".log"))
	return nil
}
