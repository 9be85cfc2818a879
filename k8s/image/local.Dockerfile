# The image without a registry, of files that layout.sh has laid out: cargo xtask image.
FROM scratch
ADD root.tar /
# From here on as in Dockerfile.
ENV RUN_MODE=production PATH=/usr/bin:/bin
WORKDIR /qdrant
USER 1000:2000
VOLUME ["/qdrant/storage", "/qdrant/snapshots"]
EXPOSE 6333 6334 6335
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/vectordb"]
