// Command live prints what it knows of its own goroutines, and what it reads of
// itself at the offsets given on its command line:
//
//	live tls goid parentGoid m curg g0
//
// Then it hands values over channels and says who gave whom.
package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// goid is the runtime's own word: "goroutine N [running]:".
func goid() uint64 {
	var b [64]byte
	s := bytes.TrimPrefix(b[:runtime.Stack(b[:], false)], []byte("goroutine "))
	n, err := strconv.ParseUint(string(s[:bytes.IndexByte(s, ' ')]), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

//go:nocheckptr
func load(p uintptr) uint64 { return *(*uint64)(unsafe.Pointer(p)) }

// threadPointer asks the kernel: arch_prctl(ARCH_GET_FS). amd64 only.
func threadPointer() uintptr {
	const sysArchPrctl, archGetFS = 158, 0x1003
	var fs uintptr
	if _, _, e := syscall.RawSyscall(sysArchPrctl, archGetFS, uintptr(unsafe.Pointer(&fs)), 0); e != 0 {
		panic(e)
	}
	return fs
}

func main() {
	var arg [6]int64
	for i := range arg {
		v, err := strconv.ParseInt(os.Args[i+1], 10, 64)
		if err != nil {
			panic(err)
		}
		arg[i] = v
	}
	report := func(creator uint64) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		g := uintptr(load(threadPointer() + uintptr(arg[0])))
		m := uintptr(load(g + uintptr(arg[3])))
		g0 := uintptr(load(m + uintptr(arg[5])))
		parent := uint64(0)
		if arg[2] >= 0 {
			parent = load(g + uintptr(arg[2]))
		} else {
			creator = 0
		}
		fmt.Printf("self goid=%d read=%d creator=%d parent=%d curg=%v g0=%v\n",
			goid(), load(g+uintptr(arg[1])), creator, parent, uintptr(load(m+uintptr(arg[4]))) == g,
			g0 != g && uintptr(load(g0+uintptr(arg[3]))) == m && load(g0+uintptr(arg[1])) == 0)
	}
	report(0)
	done := make(chan bool)
	for i := 0; i < 3; i++ {
		creator := goid()
		go func() {
			report(creator)
			inner, me := make(chan bool), goid()
			go func() { report(me); inner <- true }()
			<-inner
			done <- true
		}()
		<-done
	}
	handOver()
}

// handOver sends to goroutines that wait to receive, then receives from goroutines that wait to send.
func handOver() {
	me := goid()
	for i := 0; i < 3; i++ {
		ids, c, end := make(chan uint64, 1), make(chan int), make(chan bool, 1)
		go func() { ids <- goid(); <-c; end <- true }()
		peer := <-ids
		time.Sleep(20 * time.Millisecond) // peer is parked by now
		c <- i
		<-end
		fmt.Printf("spawn parent=%d child=%d\nsend from=%d to=%d\n", me, peer, me, peer)
		go func() { ids <- goid(); c <- i }()
		peer = <-ids
		time.Sleep(20 * time.Millisecond)
		<-c
		fmt.Printf("spawn parent=%d child=%d\nrecv by=%d from=%d\n", me, peer, me, peer)
	}
}
