#!/bin/sh
# Lays out the files of an image: layout.sh BINARY DIRECTORY [drop-in]
#
# The image holds one program without a shell. `drop-in` adds what the chart of Qdrant calls in its image: bash, sh, chown and
# sleep, of Debian's static packages, and the program under the name entrypoint.sh.
set -eu
binary=$1 root=$2 kind=${3:-plain}

rm -rf "$root"
mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/tmp" "$root/qdrant/config" "$root/qdrant/storage" "$root/qdrant/snapshots" \
    "$root/qdrant/init"
chmod 1777 "$root/tmp"
if ! LC_ALL=C ldd "$binary" 2>&1 | grep -q -e 'statically linked' -e 'not a dynamic executable'; then
    echo "$binary needs libraries, and there are none in the image" >&2
    exit 1
fi
strip -o "$root/usr/bin/vectordb" "$binary"
chmod 0755 "$root/usr/bin/vectordb"
# Whom to believe when buckets are reached over TLS.
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
echo 'vectordb:x:1000:2000::/qdrant:/sbin/nologin' > "$root/etc/passwd"
echo 'vectordb:x:2000:' > "$root/etc/group"

if [ "$kind" = drop-in ]; then
    packages=$(mktemp -d)
    (cd "$packages" && apt-get download -q bash-static busybox-static && for each in *.deb; do dpkg-deb -x "$each" .; done) > /dev/null
    mkdir -p "$root/bin"
    install -m 0755 "$packages/bin/bash-static" "$root/bin/bash"
    install -m 0755 "$packages/bin/busybox" "$root/bin/busybox"
    for applet in sh chown sleep; do ln -s busybox "$root/bin/$applet"; done
    ln -s /usr/bin/vectordb "$root/qdrant/entrypoint.sh"
    rm -rf "$packages"
fi

# What the pod does not mount is the server's own.
chown -R 1000:2000 "$root/qdrant" 2> /dev/null || chmod -R a+rwX "$root/qdrant"
