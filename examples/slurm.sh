#!/bin/bash
# A campaign on a cluster: every task of the array is a worker, and whichever is free chooses what comes next.
#   sbatch --array=0-7 examples/slurm.sh /data/photos
# The storage is one that all nodes reach; NAS_STORAGE=postgresql://nas@host/nas for more than some ten.
#SBATCH --job-name=repvit-nas
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=04:00:00
# A task that is preempted is started again by SLURM; what it had is taken by another meanwhile.
#SBATCH --requeue
#SBATCH --output=repvit-nas-%A-%a.log
set -euo pipefail

DATA=${1:?the folder of the images, with train/ and val/}
STORAGE=${NAS_STORAGE:-journal:///$PWD/campaign.log}

# One name for the folder of the trainings on every node's own disk, where locks are sure.
exec repvit-nas measure-accuracy --data "$DATA" --budget-ms 1.0 --name photos \
    --storage "$STORAGE" --artifacts "$PWD/artifacts" --keep-checkpoints \
    --out "/tmp/repvit-nas-photos" --threads "${SLURM_CPUS_PER_TASK:-1}" --hours 3.8
