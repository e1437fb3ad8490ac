#!/usr/bin/perl
# streams.pl HOST:PORT PATH STREAMS COMMAND: opens so many event streams, waits for the first event of each, runs COMMAND, which changes a
# flag, and prints after how many milliseconds the first, the middle and the last stream heard of it, and when COMMAND had ended.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);
my ($address, $path, $streams, $command) = @ARGV;
my $select = IO::Select->new;
my %seen;
for my $n (1 .. $streams) {
    my $socket = IO::Socket::INET->new(PeerAddr => $address, Proto => 'tcp') or die "stream $n: $@\n";
    $socket->syswrite("GET $path HTTP/1.1\r\nHost: $address\r\nAccept: text/event-stream\r\n\r\n");
    $select->add($socket);
    $seen{$socket} = '';
}

# Reads until each stream has said so many events; the times at which each had.
sub wait_for {
    my ($events, $seconds) = @_;
    my ($until, @at, %done) = (time + $seconds);
    while (@at < $streams) {
        my @ready = $select->can_read($until - time) or die sprintf "%d of %d streams heard of it within %d s\n", scalar @at, $streams, $seconds;
        for my $socket (@ready) {
            $socket->sysread($seen{$socket}, 65536, length $seen{$socket}) or die "a stream has ended: $seen{$socket}\n";
            next if $done{$socket} or (() = $seen{$socket} =~ /^event: message/mg) < $events;
            $done{$socket} = push @at, time;
        }
    }
    return @at;
}
wait_for(1, 60);
my $start = time;
system($command) == 0 or die "$command failed\n";
my $ended = time;
my @at = wait_for(2, 60);
printf "%.0f %.0f %.0f %.0f\n", map { ($_ - $start) * 1000 } $at[0], $at[@at / 2], $at[-1], $ended;
