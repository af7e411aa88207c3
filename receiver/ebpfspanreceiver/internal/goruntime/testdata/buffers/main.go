// Command buffers moves elements through buffers in every way there is.
package main

func main() {
	queue, quit := make(chan *int, 2), make(chan bool)
	v := new(int)
	queue <- v
	select {
	case queue <- v:
	case <-quit:
	}
	println(<-queue == v)
	select {
	case got := <-queue:
		println(got == v)
	case <-quit:
	}
}
