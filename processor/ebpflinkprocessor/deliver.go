package ebpflinkprocessor

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

// Delays between deliveries that the next consumer refuses.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// Sends that finding what of a delivery is refused for good may take. Eight of two thousand spans are
// found in less. A next consumer that refuses all of one delivery, which is wrongly configured rather than
// asked for too much, gets few chances in the next.
const (
	manySends = 256
	fewSends  = 8
)

// hunt finds what of a delivery is refused for good.
type hunt struct {
	sends    int
	accepted bool
	done     []departure
	dropped  map[string]int
	err      error
}

// did notes that out is done with. It is nearly always the whole delivery, which needs no copy.
func (h *hunt) did(out []departure) {
	if h.done == nil {
		h.done = out[:len(out):len(out)]
		return
	}
	h.done = append(h.done, out...)
}

// deliver sends out, again and again while the next consumer refuses it; what is refused for good is
// split and sent in parts, so that no more is dropped than must be. It returns an error only when ctx
// ends, with what is done with by then.
func (p *linkProcessor) deliver(ctx context.Context, out []departure) (done []departure, err error) {
	h := &hunt{sends: manySends, dropped: map[string]int{}}
	if p.refusesAll {
		h.sends = fewSends
	}
	err = p.part(ctx, out, h)
	for reason, n := range h.dropped {
		p.tel.drop(ctx, n, reason)
		p.set.Logger.Error("spans dropped: the error is permanent", zap.Int("spans", n), zap.String("reason", reason), zap.Error(h.err))
	}
	if len(h.dropped) > 0 || h.accepted {
		p.refusesAll = !h.accepted
	}
	return h.done, err
}

// part delivers some of a delivery.
func (p *linkProcessor) part(ctx context.Context, out []departure, h *hunt) error {
	reason, err := p.insist(ctx, out, h)
	if err != nil && reason == "" {
		return err
	}
	if err == nil {
		h.did(out)
		return nil
	}
	n := loud(out)
	if n < 2 || h.sends <= 0 {
		h.did(out)
		h.dropped[reason] += n
		h.err = err
		return nil
	}
	at := middle(out)
	if err := p.part(ctx, out[:at], h); err != nil {
		return err
	}
	return p.part(ctx, out[at:], h)
}

// middle is where to split out: between two traces if there are two, with spans that are sent on both
// sides.
func middle(out []departure) int {
	first, last, best := -1, -1, -1
	far := func(i int) int { return max(2*i-len(out), len(out)-2*i) }
	for i := range out {
		if out[i].silent {
			continue
		}
		if first < 0 {
			first = i
		} else if out[i].member.Trace != out[last].member.Trace && (best < 0 || far(i) < far(best)) {
			best = i
		}
		last = i
	}
	if best >= 0 {
		return best
	}
	return min(max(len(out)/2, first+1), last)
}

// insist sends out until it is accepted, or refused for good: then reason says by whom.
func (p *linkProcessor) insist(ctx context.Context, out []departure, h *hunt) (reason string, err error) {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		err := p.send(ctx, out, h)
		switch {
		case err == nil:
			return "", nil
		case errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrMissing):
			return "storage", err
		case consumererror.IsPermanent(err):
			return "refused_by_next", err
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		p.tel.ProcessorEbpfLinkSendRetries.Add(ctx, 1)
		if wait == firstBackoff {
			p.set.Logger.Warn("delivery failed, trying again until it succeeds", zap.Error(err))
		}
		if !sleep(ctx, wait) {
			return "", ctx.Err()
		}
	}
}

// sleep waits for d, and reports false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (p *linkProcessor) send(ctx context.Context, out []departure, h *hunt) error {
	if loud(out) == 0 {
		return nil
	}
	h.sends--
	td, err := p.assemble(out)
	if err != nil {
		p.tel.storeError(ctx, "load")
		return err
	}
	if err := p.next.ConsumeTraces(ctx, td); err != nil {
		return err
	}
	h.accepted = true
	p.tel.departed(ctx, p.index, out, p.arrivals.Now())
	return nil
}

func loud(out []departure) int {
	n := 0
	for i := range out {
		if !out[i].silent {
			n++
		}
	}
	return n
}
