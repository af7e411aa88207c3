//go:build linux

package ebpfspanreceiver

import (
	"context"
	"time"
)

// retry calls try after a pause, and after longer ones up to most, until it says that there is nothing more to do, or ctx
// ends. late: patience is over.
func retry(ctx context.Context, pause, most, patience time.Duration, try func(late bool) (done bool)) {
	for deadline := time.Now().Add(patience); ; pause = min(2*pause, most) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if try(time.Now().After(deadline)) {
			return
		}
	}
}
