<?php
// Serves GET /r/<id> with PHP's own server: the script is run for each request, by one of its workers.
// BACKEND is the address of the backend, SHAPE how calls are made.

function once(string $path): void
{
    if (file_get_contents('http://' . getenv('BACKEND') . $path) === false) {
        http_response_code(502);
    }
}

// On a connection that the worker keeps.
function kept(string $path): void
{
    $c = pfsockopen('tcp://' . getenv('BACKEND'));
    if (!$c || fwrite($c, "GET $path HTTP/1.1\r\nHost: backend\r\n\r\n") === false) {
        http_response_code(502);
        return;
    }
    $length = 0;
    while (($line = fgets($c)) !== false && rtrim($line) !== '') {
        if (stripos($line, 'content-length:') === 0) {
            $length = (int) substr($line, 15);
        }
    }
    fread($c, $length);
}

$id = substr($_SERVER['REQUEST_URI'], strlen('/r/'));
switch (getenv('SHAPE')) {
    case 'direct':
        once("/d/$id/a");
        break;
    case 'sequential':
        foreach (['a', 'b', 'c'] as $op) {
            kept("/d/$id/$op");
        }
        break;
}
echo "ok\n";
