package probe

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"
)

// Drain is how long a record may wait in the ring buffer: the kernel side wakes the reader only when
// an eighth of the buffer is used, since a wake-up for each record would cost more than the record.
const Drain = 20 * time.Millisecond

type readers struct {
	events, processes *ringbuf.Reader
}

func (r *readers) close() error {
	var errs []error
	for _, rd := range []*ringbuf.Reader{r.events, r.processes} {
		if rd != nil {
			errs = append(errs, rd.Close())
		}
	}
	return errors.Join(errs...)
}

// Open makes the two readers. To be called once, before ReadEvents and ReadProcesses.
func (t *Tracer) Open() error {
	var err error
	if t.readers.events, err = ringbuf.NewReader(t.objects.Events); err != nil {
		return fmt.Errorf("open ring buffer of events: %w", err)
	}
	if t.readers.processes, err = ringbuf.NewReader(t.objects.Processes); err != nil {
		return errors.Join(fmt.Errorf("open ring buffer of processes: %w", err), t.readers.close())
	}
	return nil
}

// Interrupt makes ReadEvents and ReadProcesses return.
func (t *Tracer) Interrupt() error { return t.readers.close() }

// ReadEvents calls record with each record of bytes, connections and evidence, and tick at least
// every Drain, until the tracer is interrupted. The bytes are valid during the call only. drained: there was
// no record left at some moment since the last tick, so that every one from before that tick was read.
func (t *Tracer) ReadEvents(record func([]byte), tick func(drained bool)) error {
	return read(t.readers.events, record, tick)
}

// ReadProcesses does the same for the records of processes.
func (t *Tracer) ReadProcesses(record func([]byte), tick func()) error {
	return read(t.readers.processes, record, func(bool) { tick() })
}

func read(r *ringbuf.Reader, record func([]byte), tick func(drained bool)) error {
	var rec ringbuf.Record
	next := time.Now()
	drained := false
	for n := 0; ; n++ {
		// The clock is looked at every so often only: under load there is always another record.
		if n%256 == 0 {
			if now := time.Now(); !now.Before(next) {
				tick(drained)
				drained = false
				next = now.Add(Drain)
				r.SetDeadline(next)
			}
		}
		err := r.ReadInto(&rec)
		switch {
		case err == nil:
			record(rec.RawSample)
		case errors.Is(err, os.ErrDeadlineExceeded):
			n, drained = -1, true
			next = time.Now()
		case errors.Is(err, ringbuf.ErrClosed):
			return nil
		default:
			return fmt.Errorf("read ring buffer: %w", err)
		}
	}
}
