#!/usr/bin/env bash
# A plant's own certificate authority, with openssl alone:
#     certificates.sh authority DIR               makes DIR with ca.pem, which everybody gets, and ca.key, which nobody gets
#     certificates.sh server    DIR HOST|ADDRESS  a broker's certificate, for the name that devices connect to
#     certificates.sh device    DIR NAME          a client's: a device by its device.id, a person or a program by its name
# Keys have no passphrase: keep DIR on an encrypted disk, and off the broker and the devices.
set -euo pipefail
umask 077
[ $# -ge 2 ] || { sed -n '2,6s/^# \?//p' "$0" >&2; exit 2; }
what=$1 dir=$2 name=${3:-}
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

sign() {  # sign EXTENSION...: DIR/NAME.key and DIR/NAME.pem, signed by the authority
    # %u of the broker's ACL: a slash or a wildcard in it would reach other devices' topics
    [[ $name =~ ^[A-Za-z0-9._:-]+$ ]] || { echo "not a name for a certificate: '$name'" >&2; exit 2; }
    [ ! -e "$dir/$name.key" ] || { echo "$dir/$name.key is there already: remove it first" >&2; exit 1; }
    openssl req "${key[@]}" -subj "/CN=$name" -keyout "$dir/$name.key" -out "$dir/$name.csr" 2>/dev/null
    openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 1825 \
        -extfile <(printf '%s\n' basicConstraints=CA:FALSE "$@") -out "$dir/$name.pem" 2>/dev/null
    rm "$dir/$name.csr"
    echo "$dir/$name.pem $dir/$name.key"
}

case $what in
authority)
    mkdir "$dir"
    openssl req -x509 "${key[@]}" -days 7300 -subj "/CN=$(basename "$dir")" \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    echo "$dir/ca.pem $dir/ca.key"
    ;;
server)
    kind=DNS
    [[ $name =~ ^[0-9.]+$|: ]] && kind=IP
    sign extendedKeyUsage=serverAuth "subjectAltName=$kind:$name"
    ;;
device) sign extendedKeyUsage=clientAuth ;;
*) echo "unknown: $what" >&2; exit 2 ;;
esac
