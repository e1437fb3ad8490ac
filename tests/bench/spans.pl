#!/usr/bin/perl
# spans.pl FOLDER REQUESTS SPANS [EVALUATIONS]: requests of OTLP with so many spans each, as FOLDER/N.json and FOLDER/N.pb: spans of a
# web server with ten attributes, each trace and span with an id of its own, and so many evaluations of flags (events of the span).
use strict;
use warnings;
my ($folder, $requests, $spans, $evaluations) = (@ARGV, 0);
my @attributes = (['http.request.method', 'POST'], ['http.route', '/checkout/{step}'], ['http.response.status_code', 200], ['url.scheme', 'https'],
    ['server.address', 'shop.example'], ['server.port', 443], ['user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64)'], ['network.protocol.version', '1.1'],
    ['client.address', '192.0.2.7'], ['thread.id', 17]);
my @resource = (['service.name', 'shop'], ['service.version', '2.4.1'], ['deployment.environment.name', 'production'], ['telemetry.sdk.language', 'java']);

sub varint { my $n = shift; my $out = ''; while ($n >= 128) { $out .= chr($n & 127 | 128); $n >>= 7 } return $out . chr $n }
sub bytes { my ($field, $content) = @_; return chr($field << 3 | 2) . varint(length $content) . $content }
sub pair { my ($key, $value) = @{$_[0]}; return bytes(1, $key) . bytes(2, $value =~ /^\d+$/ ? chr(3 << 3) . varint($value) : bytes(1, $value)) }
sub json { my ($key, $value) = @{$_[0]}; return qq({"key":"$key","value":{) . ($value =~ /^\d+$/ ? qq("intValue":"$value") : qq("stringValue":"$value")) . '}}' }

my $json_attributes = join ',', map { json($_) } @attributes;
my $pb_attributes = join '', map { bytes(9, pair($_)) } @attributes;
my ($json_resource, $pb_resource) = (join(',', map { json($_) } @resource), join '', map { bytes(1, pair($_)) } @resource);
my $start = time() * 1_000_000_000;
my $n = 0;
for my $request (1 .. $requests) {
    my ($json, $pb) = ('', '');
    for (1 .. $spans) {
        $n++;
        my ($trace, $span, $from, $to) = (sprintf('%032x', $n + $start), sprintf('%016x', $n), $start + $n * 1000, $start + $n * 1000 + 218_209_319);
        my ($json_events, $pb_events) = ('', '');
        for my $flag (1 .. $evaluations) {
            my @told = (['feature_flag.key', "flag $flag"], ['feature_flag.result.variant', $n % 2 ? 'a' : 'b'], ['feature_flag.context.id', "user " . $n % 5000],
                ['feature_flag.result.reason', 'split']);
            $json_events .= ($json_events && ',') . qq({"timeUnixNano":"$from","name":"feature_flag.evaluation","attributes":[) . join(',', map { json($_) } @told) . ']}';
            $pb_events .= bytes(11, "\x09" . pack('Q<', $from) . bytes(2, 'feature_flag.evaluation') . join('', map { bytes(3, pair($_)) } @told));
        }
        $json .= ',' if $json;
        $json .= qq({"traceId":"$trace","spanId":"$span","name":"POST /checkout","kind":2,"startTimeUnixNano":"$from","endTimeUnixNano":"$to","attributes":[$json_attributes],"events":[$json_events]});
        $pb .= bytes(2, bytes(1, pack 'H*', $trace) . bytes(2, pack 'H*', $span) . bytes(5, 'POST /checkout') . "\x30\x02"
            . "\x39" . pack('Q<', $from) . "\x41" . pack('Q<', $to) . $pb_attributes . $pb_events);
    }
    open my $out, '>:raw', "$folder/$request.json" or die;
    print $out qq({"resourceSpans":[{"resource":{"attributes":[$json_resource]},"scopeSpans":[{"scope":{"name":"shop"},"spans":[$json]}]}]});
    open $out, '>:raw', "$folder/$request.pb" or die;
    print $out bytes(1, bytes(1, $pb_resource) . bytes(2, bytes(1, bytes(1, 'shop')) . $pb));
}
