package rubyruntime

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Code as the compiler writes it: each byte, or wild for any. Where a thread-local variable is that another file may define
// is asked for by a sequence that the psABI fixes ("General Dynamic"); the rest are moves of eight bytes between a
// register and memory that another register points to, at a distance of 32 bits.
var (
	// GET_EC()->thread_ptr->self
	currentThread = pattern{
		0x66, 0x48, 0x8d, 0x3d, wild, wild, wild, wild, // lea ruby_current_ec@tlsgd(%rip),%rdi
		0x66, 0x66, 0x48, 0xe8, wild, wild, wild, wild, // call __tls_get_addr
		0x48, 0x8b, 0x00, // mov (%rax),%rax
		0x48, 0x8b, 0x40, wild, // mov thread_ptr(%rax),%rax
		0x48, 0x8b, 0x40, wild, // mov self(%rax),%rax
	}
	// ruby_single_main_ractor->threads.main->self
	mainThread = pattern{
		0x48, 0x8b, 0x05, wild, wild, wild, wild, // mov ruby_single_main_ractor@gotpcrel(%rip),%rax
		0x48, 0x8b, 0x00, // mov (%rax),%rax
		0x48, 0x85, 0xc0, // test %rax,%rax
		0x74, wild, // je
		0x48, 0x8b, 0x80, wild, wild, wild, wild, // mov main(%rax),%rax
		0x48, 0x8b, 0x40, wild, // mov self(%rax),%rax
		0xc3, // ret
	}
	// rb_ractor_thread_switch(th->ractor, th), inlined
	threadSwitch = pattern{
		0x49, 0x8b, 0x7e, wild, // mov ractor(%r14),%rdi
		0x49, 0x8b, 0x46, wild, // mov ec(%r14),%rax
		0x48, 0x39, 0x87, wild, wild, wild, wild, // cmp %rax,running_ec(%rdi)
	}
	// do_mutex_lock(self, 1), which is not exported
	mutexLock = pattern{
		0xbe, 1, 0, 0, 0, // mov $1,%esi
		0xe9, wild, wild, wild, wild, // jmp
	}
)

// Where the patterns have what is looked for.
const (
	currentThreadVariable, currentThreadOffset = 4, 22
	mainThreadVariable, mainThreadOffset       = 3, 18
	threadSwitchOffset                         = 7
	mutexLockTarget                            = 6
)

const wild = -1

type pattern []int16

// in is where code has the pattern, if it has it once.
func (p pattern) in(code []byte) (at uint64, ok bool) {
	for i := 0; i+len(p) <= len(code); i++ {
		same := true
		for j, want := range p {
			same = same && (want == wild || byte(want) == code[i+j])
		}
		if same && ok {
			return 0, false
		}
		if same {
			at, ok = uint64(i), true
		}
	}
	return at, ok
}

// move is one between memory and a register, or of a zero to memory.
type move struct {
	base   byte // the register that points to the memory
	offset int32
}

// moves finds those instructions in code that were meant by their first bytes: op after a REX prefix of a move of eight
// bytes, and a zero that is stored where zero says so.
func moves(code []byte, op byte, zero bool) map[move]bool {
	found := map[move]bool{}
	length := 7
	if zero {
		length += 4
	}
	for i := 0; i+length <= len(code); i++ {
		rex, modrm := code[i], code[i+2]
		// The base is a register (4 would be followed by an index), and what follows has 32 bits.
		if rex&0xfa != 0x48 || code[i+1] != op || modrm>>6 != 2 || modrm&7 == 4 {
			continue
		}
		if zero && (modrm&0x38 != 0 || !bytes.Equal(code[i+7:i+11], make([]byte, 4))) {
			continue
		}
		found[move{rex&1<<3 | modrm&7, int32(binary.LittleEndian.Uint32(code[i+3:]))}] = true
	}
	return found
}

const (
	opLoad  = 0x8b // MOV r64, r/m64
	opStore = 0x89 // MOV r/m64, r64
	opZero  = 0xc7 // MOV r/m64, imm32
)

// relative is the address that the last four bytes of an instruction name, of code at an address.
func relative(address uint64, code []byte, at uint64) uint64 {
	return address + at + 4 + uint64(int64(int32(binary.LittleEndian.Uint32(code[at:]))))
}

// current finds where a thread finds itself.
func (im *image) current(l *Layout) error {
	at, code, err := im.function(symThread)
	if err != nil {
		return err
	}
	m, ok := currentThread.in(code)
	if !ok {
		return fmt.Errorf("the code of %s is not understood", symThread)
	}
	got := im.library.start + relative(at, code, m+currentThreadVariable)
	l.Thread = uint32(code[m+currentThreadOffset])
	module, err := im.word(got)
	if err != nil {
		return err
	}
	offset, err := im.word(got + 8)
	if err != nil {
		return err
	}
	variable, err := im.symbol(symCurrent)
	if err != nil {
		return err
	}
	if module == 0 {
		return fmt.Errorf("%w: it is not relocated yet", ErrNotReady)
	}
	if module > maxModules || offset != variable.Value || offset > maxOffset || l.Thread > 127 {
		return fmt.Errorf("%s is at %#x of module %d", symCurrent, offset, module)
	}
	l.Slot, l.Current = uint32(module)*vectorSlot, uint32(offset)
	return nil
}

// unblock finds struct rb_unblock_callback: the one pair of words that a thread which gets the lock for a while keeps,
// and of which it sets the first to zero. The same function has the execution context of a thread.
func (im *image) unblock(l *Layout) error {
	_, code, err := im.function(symWithLock)
	if err != nil {
		return err
	}
	loaded := moves(code, opLoad, false)
	for m := range moves(code, opZero, true) {
		if !loaded[m] || !loaded[move{m.base, m.offset + 8}] {
			continue
		}
		if l.Unblock != 0 || m.offset <= 0 || m.offset > maxOffset {
			return fmt.Errorf("the code of %s is not understood", symWithLock)
		}
		l.Unblock = uint32(m.offset)
	}
	m, ok := threadSwitch.in(code)
	if l.Unblock == 0 || !ok {
		return fmt.Errorf("the code of %s is not understood", symWithLock)
	}
	l.EC = uint32(code[m+threadSwitchOffset])
	return nil
}

// locking finds locking_mutex: the one word that is set and taken back by who locks a Mutex. It follows unblock.
func (im *image) locking(l *Layout) error {
	at, code, err := im.function(symMutexLock)
	if err != nil {
		return err
	}
	m, ok := mutexLock.in(code)
	if !ok || m != 0 {
		return fmt.Errorf("the code of %s is not understood", symMutexLock)
	}
	begin := relative(at, code, mutexLockTarget)
	end := begin + maxCode
	for _, s := range im.symbols {
		if s.Value > begin && s.Value < end {
			end = s.Value // of the next function that has a name
		}
	}
	if code, err = im.code(begin, end-begin); err != nil {
		return err
	}
	stored := moves(code, opStore, false)
	for m := range moves(code, opZero, true) {
		if !stored[m] {
			continue
		}
		if l.Locking != 0 || m.offset != int32(l.Unblock)+16 {
			return errors.New("the code that locks a Mutex is not understood")
		}
		l.Locking = uint32(m.offset)
	}
	if l.Locking == 0 {
		return errors.New("the code that locks a Mutex is not understood")
	}
	return nil
}

// check looks at the main thread: it and its execution context name each other, and how it can be woken is a function of
// libruby, or nothing.
func (im *image) check(l *Layout) error {
	at, code, err := im.function(symMain)
	if err != nil {
		return err
	}
	m, ok := mainThread.in(code)
	if !ok {
		return fmt.Errorf("the code of %s is not understood", symMain)
	}
	ractor, err := im.symbol(symRactor)
	if err != nil {
		return err
	}
	variable, err := im.word(im.library.start + relative(at, code, m+mainThreadVariable))
	if err != nil {
		return err
	}
	if variable == 0 {
		return fmt.Errorf("%w: it is not relocated yet", ErrNotReady)
	}
	if variable != im.library.start+ractor.Value {
		return fmt.Errorf("%s asks for %#x, not for %s", symMain, variable, symRactor)
	}
	its, err := im.word(variable)
	if err != nil {
		return err
	}
	if its == 0 {
		return fmt.Errorf("%w: it has no main Ractor, or several Ractors", ErrNotReady)
	}
	main, err := im.word(its + uint64(binary.LittleEndian.Uint32(code[m+mainThreadOffset:])))
	if err != nil {
		return err
	}
	if main == 0 {
		return fmt.Errorf("%w: it has no main thread", ErrNotReady)
	}
	return im.thread(main, l)
}

func (im *image) thread(thread uint64, l *Layout) error {
	ec, err := im.word(thread + uint64(l.EC))
	if err != nil {
		return err
	}
	if ec == 0 {
		return fmt.Errorf("%w: the main thread has no execution context", ErrNotReady)
	}
	if back, err := im.word(ec + uint64(l.Thread)); err != nil || back != thread {
		return errors.Join(errors.New("the execution context of the main thread is another thread's"), err)
	}
	unblock, err := im.word(thread + uint64(l.Unblock))
	if err != nil {
		return err
	}
	if unblock != 0 && (unblock < im.library.start || unblock >= im.library.end) {
		return fmt.Errorf("the main thread can be woken by %#x, which is not in libruby", unblock)
	}
	return nil
}
