package goruntime

import "fmt"

// window reads a region of the file through one buffer that moves forward.
// Tables of a large binary are walked in order, so nearly every read is served
// from memory and the whole table is never held.
type window struct {
	im         *image
	start, end uint64 // file offsets of the region
	buf        []byte
	at         uint64 // offset in the region of buf[0]
}

const windowSize = 64 << 10

func newWindow(im *image, start, length uint64) (*window, error) {
	if !im.inFile(start, length) {
		return nil, fmt.Errorf("%w: table of %d bytes at offset %#x lies outside the file", ErrMalformed, length, start)
	}
	return &window{im: im, start: start, end: start + length}, nil
}

func (w *window) length() uint64 { return w.end - w.start }

// read returns n bytes (n <= windowSize) at off of the region; they are valid until the next call.
func (w *window) read(off, n uint64) ([]byte, error) {
	if off > w.length() || n > w.length()-off || n > windowSize {
		return nil, fmt.Errorf("%w: %d bytes at %#x of a table of %d bytes", ErrMalformed, n, off, w.length())
	}
	if off >= w.at && off+n <= w.at+uint64(len(w.buf)) {
		return w.buf[off-w.at : off-w.at+n], nil
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, min(windowSize, w.length()))
	}
	w.buf = w.buf[:min(uint64(cap(w.buf)), w.length()-off)]
	w.at = off
	if err := readFull(w.im.r, w.buf, int64(w.start+off)); err != nil {
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("read %d bytes at offset %#x: %w", n, w.start+off, err)
	}
	return w.buf[:n], nil
}
