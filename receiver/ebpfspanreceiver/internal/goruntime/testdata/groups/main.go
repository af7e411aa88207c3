// Groups prints how many are in a sync.WaitGroup, read as the BPF program does.
package main

import (
	"fmt"
	"sync"
	"unsafe"
)

func main() {
	var wg sync.WaitGroup
	wg.Add(5)
	first := *(*uint64)(unsafe.Pointer(&wg))
	fmt.Println(first >> 32)
	for i := 0; i < 5; i++ {
		go wg.Done()
	}
	wg.Wait()
}
