package link

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seen is a fact with what is beside it.
type seen struct {
	Fact
	Rare
}

func in(process uint64, f Fact, more ...func(*seen)) seen {
	s := seen{f, Rare{Process: process}}
	for _, fn := range more {
		fn(&s)
	}
	return s
}

// TestRareEmpty: but for the two fields that do not count by themselves, each makes it worth keeping.
func TestRareEmpty(t *testing.T) {
	require.True(t, new(Rare).Empty())
	for i := range reflect.TypeFor[Rare]().NumField() {
		var r Rare
		v := reflect.ValueOf(&r).Elem()
		name := v.Type().Field(i).Name
		switch field := v.Field(i); field.Kind() {
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Uint8, reflect.Uint64:
			field.SetUint(1)
		default:
			r.Exchange.PID = 1
		}
		require.Equal(t, name == "Process" || name == "Exchange", r.Empty(), name)
	}
}

// wanted is what the search for the parent of the first fact of a case finds.
type wanted struct {
	parent     byte
	rule       string
	outcome    Outcome
	confidence float32
	candidates uint32
}

// resolves checks the parent of facts[0], for every order of arrival.
func resolves(t *testing.T, rules []string, facts []seen, want wanted) {
	t.Helper()
	for shift := range facts {
		x := New(rules, 500*time.Millisecond)
		var child ID
		for i := range facts {
			n := (i + shift) % len(facts)
			if id := x.AddRare(facts[n].Fact, facts[n].Rare); n == 0 {
				child = id
			}
		}
		e := x.Resolve(child)
		require.Equal(t, want.outcome.String(), e.Outcome.String())
		require.Equal(t, want.rule, e.Rule)
		require.Equal(t, want.confidence, e.Confidence)
		require.Equal(t, want.candidates, e.Candidates, "candidates")
		if want.parent == 0 {
			require.Equal(t, None, e.Parent)
		} else {
			require.Equal(t, span(want.parent), x.Fact(e.Parent).Span)
		}
	}
}

func TestRareGoesWithItsFact(t *testing.T) {
	x := New(RuleNames(), 0)
	r := Rare{Process: 1, RequestID: 2}
	a := x.AddRare(server(1, 0), r)
	require.Equal(t, r, x.Rare(a))
	require.Len(t, x.rare, 1)
	x.Replace(a, server(1, 0), Rare{Process: 1})
	require.Empty(t, x.rare, "a process alone is not worth keeping")
	x.Replace(a, server(1, 0), r)
	x.Remove([]ID{a})
	require.Empty(t, x.rare)
	require.Equal(t, a, x.Add(server(1, 0)), "the place is used again")
	require.Equal(t, Rare{}, x.Rare(a))
}

func TestRequestIDKey(t *testing.T) {
	for id, names := range map[string]bool{
		"":                                     false,
		"1":                                    false,
		"request":                              false,
		"00000000000000000000":                 false,
		"00000000-0000-0000-0000-000000000000": false,
		"3f2c1a90":                             true,
		"7b1c9a3e-0f51-4c53-9f0e-4f1f7f3f0c11": true,
		"00000000-0000-0000-0000-000000000001": true,
	} {
		require.Equal(t, names, RequestIDKey(id) != 0, id)
	}
	require.NotEqual(t, RequestIDKey("3f2c1a90"), RequestIDKey("3f2c1a91"))
}
