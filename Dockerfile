# CPU:  docker build -t mnist-fluid .
# GPU:  docker build -t mnist-fluid:gpu --build-arg DEVICE=gpu .
# How to run them, and what was and was not tried: docs/docker.md.
ARG DEVICE=cpu

FROM python:3.8-slim-bookworm AS base
# Paddle's oneDNN is linked against libgomp; everything else comes with the wheels.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock requirements-gpu.lock /tmp/

FROM base AS cpu
# --no-deps, because the lock is whole and Paddle asks for an opencv-python that is left out;
# pip compiles to byte code, without which Paddle's import takes five times as long.
RUN python -m pip install --only-binary :all: --no-deps --require-hashes -r /tmp/requirements.lock

# The CUDA 10.0 images have been deleted from Docker Hub; conda-forge still has the libraries.
FROM mambaorg/micromamba:1.5.8 AS cuda
RUN micromamba create --yes --prefix /tmp/cuda --channel conda-forge \
        'cudatoolkit=10.0' 'cudnn=7.6' \
    && mkdir /tmp/lib64 \
    && cp -P /tmp/cuda/lib/libcublas.so* /tmp/cuda/lib/libcurand.so* \
        /tmp/cuda/lib/libcudnn.so* /tmp/lib64/

FROM base AS gpu
# One layer, so that the CPU build's files are not kept beneath the GPU build's.
RUN python -m pip install --only-binary :all: --no-deps --require-hashes -r /tmp/requirements.lock \
    && python -m pip uninstall -y paddlepaddle \
    && python -m pip install --only-binary :all: --no-deps --require-hashes -r /tmp/requirements-gpu.lock
# Paddle opens libcublas.so, libcurand.so and libcudnn.so by these names when it first uses
# them; the driver's libcuda.so.1 comes from the host.
COPY --from=cuda /tmp/lib64/ /usr/local/cuda/lib64/
ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# The kernels in C, compiled where a compiler is; the image itself has none.
FROM base AS kernels
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
COPY setup.py /mnist/
COPY mnist /mnist/mnist
RUN cd /mnist && python setup.py --quiet build_ext --inplace

FROM ${DEVICE}
WORKDIR /mnist
COPY . .
COPY --from=kernels /mnist/mnist/kernels/ mnist/kernels/
# HOME: Matplotlib keeps its fonts there, under any user given by `docker run --user`.
ENV HOME=/tmp PYTHONPATH=/mnist PYTHONUNBUFFERED=1
RUN python -m compileall -q mnist \
    && useradd --no-create-home --uid 1000 mnist \
    && mkdir -p checkpoints log \
    && chown -R mnist: data checkpoints log
USER mnist
VOLUME ["/mnist/data", "/mnist/checkpoints", "/mnist/log"]
CMD ["python", "-m", "mnist.train", "--config", "configs/quickstart.yaml"]
