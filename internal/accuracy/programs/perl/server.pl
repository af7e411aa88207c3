# A server whose processes serve one connection at a time. GET /r/<id> calls /d/<id>/a, and after every
# other response the same process makes a call of its own, /d/bg/<n>. Arguments: shape (fork: a process for
# each connection; prefork: as many as the pool has), address of the backend, size of the pool. It prints
# its address, and ends with its standard input.
use strict;
use warnings;
use IO::Socket::INET;

my ($shape, $backend, $pool) = @ARGV;
$| = 1;
$SIG{CHLD} = 'IGNORE';
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 256, ReuseAddr => 1) or die "listen: $!";
my $background = 0;

sub call {
    my $path = shift;
    my $c = IO::Socket::INET->new(PeerAddr => $backend) or die "connect: $!";
    syswrite($c, "GET $path HTTP/1.1\r\nHost: backend\r\n\r\n") or die "write: $!";
    my $in = '';
    while ($in !~ /\r\n\r\n...$/s) {
        sysread($c, $in, 4096, length $in) or die "read: $!";
    }
}

sub serve {
    my $c = shift;
    my $in = '';
    while (sysread($c, $in, 4096, length $in)) {
        next unless $in =~ m{^GET /r/(\S+) .*\r\n\r\n}s;
        my $id = $1;
        $in = '';
        call("/d/$id/a");
        call("/d/$id/b");
        syswrite($c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" . ($shape eq 'prefork' ? "Connection: close\r\n" : '') . "\r\nok\n") or return;
        call("/d/bg/" . $background) if $background++ % 2;
        return if $shape eq 'prefork';
    }
}

sub worker {
    while (my $c = $listener->accept) {
        serve($c);
        close $c;
    }
}

my $child = fork // die "fork: $!";
if (!$child) {
    if ($shape eq 'prefork') {
        for (2 .. $pool) {
            next if fork;
            worker();
            exit;
        }
        worker();
    }
    while (1) {
        my $c = $listener->accept or next;
        next if fork;
        $SIG{CHLD} = 'DEFAULT';
        serve($c);
        exit;
    }
}
print '127.0.0.1:', $listener->sockport, "\n";
<STDIN>;
