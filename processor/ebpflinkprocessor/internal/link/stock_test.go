package link

import "testing"

func TestStock(t *testing.T) {
	var arena Arena
	defer arena.Free()
	var s Stock[int]
	s.Use(&arena)
	const n = 3 * pageSize
	seen := map[uint32]bool{}
	for i := range n {
		at := s.Take()
		if at == 0 || seen[at] {
			t.Fatalf("Take returned %d, which is no number or another's", at)
		}
		seen[at] = true
		*s.Of(at) = i + 1
	}
	s.Give(0)
	s.Give(7)
	s.Give(pageSize + 7)
	for _, want := range []uint32{pageSize + 7, 7, n + 1} {
		if got := s.Take(); got != want {
			t.Errorf("after two were given back Take returned %d, not %d", got, want)
		}
	}
	if got := *s.Of(8); got != 8 {
		t.Errorf("element 8 is %d: it was not given back", got)
	}
}
