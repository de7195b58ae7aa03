//go:build faults

package pageclient_test

import (
	"context"
	"errors"
	"testing"

	"xenon/core/faults"
)

func TestFaultsAreSeen(t *testing.T) {
	defer faults.Plant(faults.ReplyUnmatched)()
	if err := swapped(t); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody saw pages in the wrong place: %v", err)
	}
}
