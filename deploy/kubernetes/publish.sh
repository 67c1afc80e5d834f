#!/usr/bin/env bash
# Builds the two images, pushes them, and writes what the cluster gets, with every image
# by its digest. Usage, at the top of the clone:
#   deploy/kubernetes/publish.sh registry.example.org/class FOLDER
set -euo pipefail
registry=$1 folder=$2
here=deploy/kubernetes
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

find_digest() {
    docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"
}

base=python:3.12-slim
python=$base@$(find_digest $base)
mkdir -p "$folder"
cp $here/*.yaml "$folder"
echo "$python" > "$folder/images.txt"
for target in student grader; do
    image=$registry/courseai-$target:$version
    docker build --build-arg PYTHON="$python" --target $target -t "$image" \
        -f $here/Dockerfile .
    docker push "$image"
    pinned=$image@$(find_digest "$image")
    echo "$pinned" >> "$folder/images.txt"
    # The students' image stands in two parts, name and tag.
    sed -i -e "s#registry.example.org/courseai-$target:$version@DIGEST#$pinned#" \
        -e "s#registry.example.org/courseai-$target\$#$registry/courseai-$target#" \
        -e "/courseai-$target\$/{n;s#@DIGEST#@${pinned#*@}#}" "$folder"/*.yaml
done
