#!/bin/sh
# Draws icon.ico anew from icon.svg. Needs rsvg-convert (librsvg2-bin) and icotool (icoutils).
# The two small sizes are plain bitmaps, which everything reads; the large one is a PNG, which is an eighth as long.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for size in 16 32 48; do
    rsvg-convert --width "$size" --height "$size" --output "$folder/$size.png" icon.svg
done
icotool --create --output icon.ico "$folder/16.png" "$folder/32.png" --raw="$folder/48.png"
