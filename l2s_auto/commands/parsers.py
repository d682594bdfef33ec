"""The options of every command. Nothing but argparse is loaded, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path

from l2s_auto.commands import values
from l2s_auto.commands.parser import Parser
from l2s_auto.core.composition import FAMILIES
from l2s_auto.core.registered import METHODS

#: As in core/dial.py, which takes longer to load.
AIMS = ("home", "both", "anywhere", "each")
DIRECTIONS = ("update", "scale-free", "implicit")
EXPERIMENTS = ("recovery", "methods", "contrast")
SUMMARIES = {
    "l2s_plan_and_train": "plan and train a network on a labelled dataset",
    "l2s_predict": "segment scans with a trained model",
    "l2s_evaluate": "compare segmentations with references",
    "l2s_demo": "train, predict and evaluate on phantoms made on the spot",
    "l2s_export": "pack a model into one file",
    "l2s_import": "unpack a model on this machine",
    "l2s_experiment": "run an experiment of the method's paper",
}


def plan_and_train() -> Parser:
    """DATASET and everything that a training can be told."""
    parser = Parser(
        "l2s_plan_and_train",
        description="Plan and train a segmentation network on a labelled dataset: one command from scans to a model.",
        examples="""
        l2s_plan_and_train Dataset004_Hippocampus
        l2s_plan_and_train my_dataset -o runs/first --time-budget 2h --device cuda
        # plan, and preview synthetic images
        l2s_plan_and_train my_dataset --dry-run
        l2s_plan_and_train my_dataset -o runs/first --resume
        l2s_plan_and_train label_maps_only --method synthseg
        """,
    )
    add = parser.add_argument
    add(
        "dataset",
        type=values.path,
        metavar="DATASET",
        help="folder in nnU-Net's raw layout, or with images/ and labels/",
    )
    add("-o", "--output", type=values.path, metavar="RUN", help="run folder (default: l2s_runs/<dataset name>)")
    methods = f"{', '.join(METHODS)}, or an import path package.module:Class (with --trust-code)"
    add("--method", default="learn2synth", metavar="NAME", help=f"{methods} (default: %(default)s)")
    augmenters = (
        "parametric, parametric-random, parametric-range, nonparametric, gamma, blur, rician, contrast, share, "
        "several of "
        "them joined by +, or an import path package.module:Class (with --trust-code)"
    )
    aim = (
        "scans that the model is for: home (from your scanner, like the training scans), both (like them and others), "
        "anywhere (of any contrast), or each (decided for each scan: prediction takes 1.1 to 2 times as long). It can "
        "be changed in l2s_predict without another training (default: both)"
    )
    home = (
        "fraction of the training, in [0, 1), for its last phase, mostly on scans as they are, which gives the home "
        "end of the model (default: the method's); 0: the model has one end"
    )
    add("--home", type=values.share_or_zero, metavar="X", help=home)
    add("--aim", choices=AIMS, help=aim)
    contrasts = (
        "of the training images: the method's mix (usual), or all at random, for scans that look "
        "unlike any of yours (default: %(default)s)"
    )
    looks = parser.add_mutually_exclusive_group()
    looks.add_argument("--contrasts", choices=("usual", "random"), default="usual", help=contrasts)
    families = (
        "fractions of the families of training images, which sum to 1, e.g. real-like=0.6,random-curve=0.4; families: "
        f"{', '.join(FAMILIES)} (default: the method's)"
    )
    looks.add_argument("--families", type=values.families, metavar="F", help=families)
    add("--augmenter", default="parametric", metavar="NAME", help=f"{augmenters} (default: %(default)s)")
    estimators = (
        "unrolled, forward, finite-difference, finite-difference-central, or an import path package.module:Class "
        "(with --trust-code)"
    )
    add("--hypergradient", metavar="NAME", help=f"how theta's gradient is estimated: {estimators}")
    direction = (
        "what it asks for: the best next update, the best next step of fixed length (scale-free), or the best network "
        "when it has followed theta (implicit)"
    )
    add("--direction", choices=DIRECTIONS, help=f"{direction} (default: update)")
    add("--hyper-every", type=values.count, metavar="K", help="update theta on every K-th iteration")
    add("--hyper-part", type=values.share, metavar="X", help="share of the batch, in (0, 1], that theta is updated by")
    networks = (
        "unet, residual-unet (deeper: more accurate on large data, slower), or an import path package.module:Class "
        "(with --trust-code)"
    )
    add("--network", default="unet", metavar="NAME", help=f"{networks} (default: %(default)s)")
    losses = (
        "dice+cross-entropy, dice, cross-entropy, dice+cldice (vessels: nothing may break), or an import path "
        "(with --trust-code)"
    )
    add("--loss", default="dice+cross-entropy", metavar="NAME", help=f"{losses} (default: %(default)s)")
    missing = "train for scans that lack some of the channels"
    add("--missing-channels", action="store_true", help=missing)
    micro_batch = "samples in memory at a time; slower, the same result (default: the whole batch)"
    add("--micro-batch", type=values.count, metavar="N", help=micro_batch)
    checkpointing = "compute activations again: somewhat less memory for a third more time"
    add("--checkpointing", action="store_true", help=checkpointing)
    add("--iterations", type=values.count, metavar="N", help="updates of the network (default: the plan's)")
    budget = (
        "longest training time of a fold, e.g. 90s, 10m, 2h; with --cv each of the 5 folds has it; the two networks of "
        "--cascade share it. Planning, preprocessing and validation come on top. Training always ends with a model"
    )
    add("--time-budget", type=values.duration, metavar="T", help=budget)
    folds = parser.add_mutually_exclusive_group()
    fold_help = "fold of 5 that is held out, or all to train on every case (default: 0)"
    folds.add_argument("--fold", type=values.fold, metavar="K", help=fold_help)
    folds.add_argument("--cv", action="store_true", help="cross-validation: all 5 folds in turn")
    add(
        "--splits", type=values.path, metavar="FILE", help="your own splits, in the form of nnU-Net's splits_final.json"
    )
    _add_device(parser)
    memory = "GB of memory that training may use on the device (default: what is free)"
    add("--memory-gb", type=values.positive, metavar="X", help=memory)
    _add_choices(parser)
    cascade = "for large cases: first a network that sees a whole region coarsely, then one that is told what it found"
    add("--cascade", action="store_true", help=cascade)
    _add_workers(parser)
    seed = "same seed, versions, device and number of threads (OMP_NUM_THREADS): same weights (default: 0)"
    add("--seed", type=values.count_or_zero, default=0, metavar="N", help=seed)
    add("--resume", action="store_true", help="go on from the last checkpoint in RUN")
    add("--init", type=values.path, metavar="MODEL", help="start from the weights of another model")
    add("--dry-run", action="store_true", help="stop after the plan and a preview of synthetic images")
    _add_trust(parser)
    _add_overwrite(parser, "trained folds, and files in RUN that no training wrote")
    return parser


def predict() -> Parser:
    """Scans in, segmentations out."""
    parser = Parser(
        "l2s_predict",
        description="Segment scans. IN and OUT are both files or both folders; every segmentation is on its scan's "
        "own grid and has the labels' original values.",
        examples="""
        l2s_predict -i scan.nii.gz -o segmentation.nii.gz
        l2s_predict -i scans -o segmentations -m l2s_runs/my_dataset
        # first quarter of the scans
        l2s_predict -i scans -o segmentations -m model.zip --part 1/4
        """,
    )
    add = parser.add_argument
    add("-i", "--input", type=values.path, required=True, metavar="IN", help="a scan, or a folder of scans")
    add("-o", "--output", type=values.path, required=True, metavar="OUT", help="file or folder for the segmentations")
    add(
        "-m",
        "--model",
        type=values.path,
        metavar="MODEL",
        help="run, fold, exported zip, or nnU-Net's model folder (default: the newest in l2s_runs, else your last)",
    )
    _add_device(parser)
    tta = "also look at the scan mirrored, if the model was trained on such: slower, slightly better"
    add("--tta", action="store_true", help=tta)
    share = "share of a window that overlaps the next, in [0, 1) (default: 0.5)"
    add("--overlap", type=values.overlap, default=0.5, metavar="X", help=share)
    add("--probabilities", action="store_true", help="also write the probability of each label, and entropy")
    whole = values.Part(1, 1)
    add("--part", type=values.part, default=whole, metavar="I/N", help="this job's share of the cases, e.g. 1/4")
    add("--skip-existing", action="store_true", help="leave out cases whose segmentation is there already, and whole")
    workers = "0 = read, segment and write in turn; more = beside each other (default: from the machine)"
    add("--workers", type=values.count_or_zero, metavar="N", help=workers)
    add("--fast", action="store_true", help="fewer overlapping windows; of a cascade, the first network alone")
    aim = (
        "weights for home (scans like those of the training), anywhere (all others), both (between these two), or "
        "each (scan by scan: home if both ends give nearly the same segmentation, else anywhere; takes 1.1 to 2 times "
        "as long) (default: as trained)"
    )
    add("--aim", choices=AIMS, help=aim)
    _add_trust(parser)
    _add_overwrite(parser, "files in OUT that no prediction wrote, or that were changed since")
    return parser


def evaluate() -> Parser:
    """Predictions against references."""
    parser = Parser(
        "l2s_evaluate",
        description="Compare segmentations with references: Dice, 95th percentile Hausdorff distance, normalised "
        "surface Dice and volume error, a label and a case.",
        examples="""
        l2s_evaluate -p segmentations -r labelsTs -m l2s_runs/my_dataset
        l2s_evaluate -p segmentations -r labelsTs --labels my_dataset/dataset.json -o metrics.json
        """,
    )
    add = parser.add_argument
    add("-p", "--predictions", type=values.path, required=True, metavar="DIR", help="folder of segmentations")
    add(
        "-r",
        "--references",
        type=values.path,
        required=True,
        metavar="DIR",
        help="folder of references, same file names",
    )
    names = parser.add_mutually_exclusive_group(required=True)
    names.add_argument("-m", "--model", type=values.path, metavar="MODEL", help="model whose labels are compared")
    names.add_argument(
        "--labels", type=values.path, metavar="FILE", help="dataset.json with the labels' names and values"
    )
    add(
        "-o", "--output", type=values.path, metavar="FILE", help="where to write (default: metrics.json in PREDICTIONS)"
    )
    _add_trust(parser)
    _add_overwrite(parser, "a file that is no evaluation of these folders")
    return parser


def demo() -> Parser:
    """The embedded default."""
    parser = Parser(
        "l2s_demo",
        description="Make labelled head phantoms, train on them, segment others in two contrasts, and draw the result. "
        "Nothing is downloaded.",
        examples="""
        l2s_demo
        l2s_demo -o /tmp/demo --time-budget 1m
        """,
    )
    add = parser.add_argument
    folder = "folder (default: %(default)s)"
    add("-o", "--output", type=values.path, default=Path("l2s_demo"), metavar="DIR", help=folder)
    budget = "training time in all, e.g. 90s, 4m, 1h (default: 7m); phantoms, planning and prediction come on top"
    add("--time-budget", type=values.duration, metavar="T", help=budget)
    add("--seed", type=values.count_or_zero, default=0, metavar="N", help="seed of phantoms and training (default: 0)")
    _add_device(parser)
    _add_overwrite(parser, "an earlier demo in DIR")
    return parser


def export_model() -> Parser:
    """A model into one file."""
    parser = Parser(
        "l2s_export",
        description="Pack a trained model into one file that predicts on any machine with l2s_auto.",
        examples="""
        l2s_export l2s_runs/my_dataset my_model.zip
        l2s_export l2s_runs/my_dataset for_nnunet --format nnunet
        """,
    )
    add = parser.add_argument
    add("model", type=values.path, metavar="MODEL", help="run folder or fold folder")
    add(
        "output", type=values.path, metavar="OUT.zip", help="file to write; with --format nnunet a new folder, or a zip"
    )
    add(
        "--format",
        choices=("l2s", "nnunet"),
        default="l2s",
        help="l2s: one zip (default); nnunet: a folder that nnU-Net 2 predicts with, or the zip that it installs",
    )
    _add_trust(parser)
    _add_overwrite(parser, "an earlier export")
    return parser


def import_model() -> Parser:
    """One file into a model on this machine."""
    parser = Parser(
        "l2s_import",
        description="Unpack an exported model on this machine, so that l2s_predict uses it without -m.",
        examples="""
        l2s_import my_model.zip
        l2s_import my_model.zip -o models/mine
        """,
    )
    parser.add_argument("file", type=values.path, metavar="FILE.zip", help="file that l2s_export wrote")
    folder = "new folder for the model (default: l2s_runs/<name of the file>)"
    parser.add_argument("-o", "--output", type=values.path, metavar="RUN", help=folder)
    _add_trust(parser)
    _add_overwrite(parser, "an imported model in RUN")
    return parser


def experiment() -> Parser:
    """An experiment of the paper."""
    parser = Parser(
        "l2s_experiment",
        description=f"Run an experiment of the method's paper ({', '.join(EXPERIMENTS)}): a table, a JSON, a figure.",
        examples="""
        # on phantoms, in slices
        l2s_experiment recovery
        l2s_experiment recovery --data label_maps -o experiments/recovery
        l2s_experiment recovery --data label_maps --presets "sigma 0.1" "exponents 1 0 0" --dimensions 3
        # which method is best for my scans?
        l2s_experiment methods --data my_dataset --seeds 0 1 2
        l2s_experiment methods --data my_dataset --methods learn2synth supervised --cases 2,5,10,all
        # from MPRAGE to FLASH, simulated
        l2s_experiment contrast --data label_maps --seeds 0 1 2
        """,
    )
    add = parser.add_argument
    names = (
        "recovery: does theta find what a scanner does? methods: which is best for a dataset? "
        "contrast: which is best on other sequences than it has learned from?"
    )
    add("name", metavar="NAME", help=names)
    add("-o", "--output", type=values.path, metavar="DIR", help="folder (default: l2s_experiments/NAME)")
    data = "label maps as .nii or .nii.gz; of methods a labelled dataset (default: phantoms)"
    add("--data", type=values.path, metavar="FOLDER", help=data)
    add("--presets", nargs="+", metavar="NAME", help="some of the settings, by their names in the table (default: all)")
    estimators = "matching, one-step, or both (default: matching)"
    add("--estimators", nargs="+", metavar="NAME", help=estimators)
    add("--dimensions", type=int, choices=(2, 3), help="slices or volumes (default: 2)")
    compared = (
        "methods, learn2synth:AUGMENTER, learn2synth-random, learn2synth-paper, of contrast samseg; "
        "the first is what the others are tested against"
    )
    usual = "learn2synth, synthseg, supervised, mixed, finetuned, advchain"
    add("--methods", nargs="+", metavar="NAME", help=f"{compared} (default: {usual})")
    cases = "numbers of labelled scans to learn from, or all (default: all that are not held out; of contrast 29,5)"
    add("--cases", type=values.counts, metavar="N,N,…", help=cases)
    add("--field", type=values.positive, metavar="T", help="tesla of the simulated scanner, 1.5 or 3 (default: 1.5)")
    add("--tests", type=values.count, metavar="N", help="held-out scans, at most (default: 40)")
    add(
        "--iterations",
        type=values.count,
        metavar="N",
        help="updates of the network each (default of recovery: 3000, in 3D 800)",
    )
    budget = "time of each training, e.g. 90s, 10m, 2h, in place of iterations (default of methods: 10m)"
    add("--time-budget", type=values.duration, metavar="T", help=budget)
    add("--seeds", nargs="+", type=values.count_or_zero, metavar="N", help="a training each (default: 0)")
    add("--part", type=values.part, metavar="I/N", help="this job's share of the trainings, e.g. 1/4")
    _add_choices(parser)
    _add_device(parser)
    _add_trust(parser)
    _add_overwrite(parser, "files in DIR that no experiment wrote; what it has trained there is kept")
    return parser


def _add_choices(parser: Parser) -> None:
    add = parser.add_argument
    plan = "instead of the plan's:"
    spacing = f"{plan} mm of a voxel, from left to right, back to front, bottom to top"
    add("--spacing", nargs=3, action=values.Tuple, type=values.edge, metavar=("X", "Y", "Z"), help=spacing)
    patch = f"{plan} voxels of a patch, from start to end, enlarged to what the network divides it by"
    add("--patch", nargs=3, action=values.Tuple, type=values.count, metavar=("X", "Y", "Z"), help=patch)
    add("--batch", type=values.count, metavar="N", help=f"{plan} samples of an update, from start to end")
    add("--features", type=values.features, metavar="N", help=f"{plan} features of the network's first stage")


def _add_trust(parser: Parser) -> None:
    text = (
        "let this class or function, outside of l2s_auto, be a part: its code is imported and run, with your rights; "
        "may be given several times. Files cannot do this: a model or recipe that names other code is refused"
    )
    parser.add_argument("--trust-code", action="append", default=[], metavar="MODULE:CLASS", help=text)


def _add_overwrite(parser: Parser, what: str) -> None:
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what} (default: refuse)")


def _add_device(parser: Parser) -> None:
    text = "auto, cpu, cuda, cuda:N or mps (default: auto)"
    parser.add_argument("--device", default="auto", metavar="NAME", help=text)


def _add_workers(parser: Parser) -> None:
    text = "helper processes; 0 = everything in this process (default: from the machine)"
    parser.add_argument("--workers", type=values.count_or_zero, metavar="N", help=text)
