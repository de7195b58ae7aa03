package up

import (
	"context"
	"log/slog"
	"testing"
)

// A role that ends without an error, as after a SIGTERM from elsewhere, is
// started again; after the end of the installation it is not.
func TestRolesAreNeverDone(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	starts := 0
	role := keep(ctx, slog.New(slog.DiscardHandler), "role", neverDone(func(ctx context.Context, _ *task) error {
		if starts++; starts == 3 {
			end()
		}
		return nil
	}))
	<-role.done
	if starts != 3 {
		t.Errorf("the role was started %d times, want 3", starts)
	}
}
