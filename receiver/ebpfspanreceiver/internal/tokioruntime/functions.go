package tokioruntime

import (
	"regexp"
	"slices"
	"strings"
)

// function is a row: one of tokio's that has sites, in as many copies as it was compiled in.
type function struct {
	name string
	kind Kind
	// required: without it there is nothing to go by.
	required bool
	// layer of those that make tasks: what is nearer to the memory is lower, and calls none of the same.
	layer int
	names *regexp.Regexp
}

// functions is the table. A name of the legacy mangling ends with a hash, whatever the types that the copy is for;
// one of v0 goes on with them. Both may carry the suffix of a part of the program (.llvm.123).
var functions = []*function{
	{name: "raw::poll", kind: Poll, required: true, names: free("7runtime4task3raw", "4poll")},
	{name: "raw::dealloc", kind: Gone, required: true, names: free("7runtime4task3raw", "7dealloc")},
	{name: "waker::wake_by_val", kind: Wake, names: free("7runtime4task5waker", "11wake_by_val")},
	{name: "waker::wake_by_ref", kind: Wake, names: free("7runtime4task5waker", "11wake_by_ref")},
	{name: "RawTask::new", kind: Made, layer: 1, names: method("7runtime4task3raw", "7RawTask", "3new")},
	{name: "OwnedTasks::bind", kind: Made, layer: 2, names: method("7runtime4task4list", "10OwnedTasks", "4bind")},
	{name: "pool::spawn_blocking", kind: Made, layer: 2, names: free("7runtime8blocking4pool", "14spawn_blocking")},
	{name: "task::spawn", kind: Made, layer: 3, names: free("4task5spawn", "5spawn")},
	{name: "Handle::spawn", kind: Made, layer: 3, names: method("7runtime9scheduler", "6Handle", "5spawn")},
	// What Mutex, RwLock, Semaphore and the capacity of a channel give permits back with, and what it is inlined in.
	{name: "Semaphore::add_permits_locked", kind: Lock, names: method("4sync15batch_semaphore", "9Semaphore", "18add_permits_locked")},
	{name: "Semaphore::release", kind: Lock, names: method("4sync15batch_semaphore", "9Semaphore", "7release")},
	// What ends the waiting for a time.
	{name: "time::Handle::process", kind: Time, names: regexp.MustCompile(
		`^(_ZN5tokio7runtime4time.*Handle.*(7process|15process_at_time|23process_at_sharded_time)17h[0-9a-f]{16}E|` +
			`_RNvM[0-9a-zA-Z_]*_5tokio7runtime4time[0-9a-zA-Z_]*_6handle6Handle(7process|15process_at_time|23process_at_sharded_time)(\.|$))`)},
	// What wakes for others.
	{name: "WakeList::wake_all", kind: Pass, names: method("4util9wake_list", "8WakeList", "8wake_all")},
	{name: "Waker::wake", kind: Pass, names: regexp.MustCompile(
		`^(_ZN4core4task4wake5Waker(4wake|11wake_by_ref)17h[0-9a-f]{16}E|_RNvMs?[0-9a-zA-Z]*_?NtNtCs?[0-9A-Za-z]*_4core4task4wakeNtB[0-9a-zA-Z]*_5Waker(4wake|11wake_by_ref)$)`)},
}

// free is a function of a module of tokio.
func free(module, name string) *regexp.Regexp {
	return regexp.MustCompile(`^(_ZN5tokio` + module + name + `17h[0-9a-f]{16}E|_R(INv|Nv)N[Nt]*Cs?[0-9A-Za-z]*_5tokio` +
		module + name + `)`)
}

// method is a function of a type of a module of tokio. In the legacy mangling a type with parameters is
// OwnedTasks$LT$S$GT$, whose length counts.
func method(module, of, name string) *regexp.Regexp {
	bare := strings.TrimLeft(of, "0123456789")
	return regexp.MustCompile(`^(_ZN5tokio` + module + `[0-9]+` + bare + `(\$LT\$[A-Z]\$GT\$)?` + name + `17h[0-9a-f]{16}E|` +
		`_R(INv|Nv)Ms?[0-9a-zA-Z]*_?N[Nt]*Cs?[0-9A-Za-z]*_5tokio` + module + `(Nt|INt)B[0-9a-zA-Z]*_` + of + `.*` + name + `)`)
}

func functionOf(symbol string) *function {
	if !strings.Contains(symbol, "5tokio") && !strings.Contains(symbol, "4core4task4wake") {
		return nil
	}
	i := slices.IndexFunc(functions, func(f *function) bool { return f.names.MatchString(symbol) })
	if i < 0 {
		return nil
	}
	return functions[i]
}

// makers are the functions whose returns are probed: one layer, where it has a copy for every kind of task, and all
// of them where some are inlined.
func makers(found map[*function][]uint64) []*function {
	kinds := 0
	layers := map[int]int{}
	var all []*function
	for f, addresses := range found {
		switch f.kind {
		case Poll:
			kinds = len(addresses)
		case Made:
			layers[f.layer] += len(addresses)
			all = append(all, f)
		}
	}
	for layer := 1; layer <= 2; layer++ {
		if layers[layer] >= kinds {
			return slices.DeleteFunc(all, func(f *function) bool { return f.layer != layer })
		}
	}
	return all
}
