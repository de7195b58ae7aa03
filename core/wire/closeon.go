package wire

import (
	"context"
	"io"

	"xenon/core/xsync"
)

// CloseOn closes c once ctx ends, which wakes whoever is blocked on it. stop
// ends that; it must be called.
func CloseOn(ctx context.Context, c io.Closer) (stop func()) {
	watch, cancel := xsync.WithCancel(ctx)
	unhook := watch.(interface{ AfterFunc(func()) func() bool }).AfterFunc(func() { c.Close() })
	return func() {
		unhook()
		cancel(nil)
	}
}
