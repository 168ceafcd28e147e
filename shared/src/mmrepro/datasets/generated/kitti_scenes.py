"""Generated streets in KITTI's own files: coloured cuboids on a ground plane, for tests and demonstrations.

Each pixel's ray is cut with the cuboids, so that projection, occlusion and truncation are right by construction: the
2D boxes, the levels of occlusion and the shares outside the picture in the labels follow from the 3D boxes and the
calibration. Fronts are bright and backs are red, which tells the headings. Coordinates are KITTI's: x right, y down,
z forward in metres; a location is the middle of the lower face; a rotation of 0 looks along x.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from .folder import temporary_folder

SIZES = {  # height, width and length in metres
    "Car": (1.53, 1.63, 3.9),
    "Pedestrian": (1.76, 0.66, 0.84),
    "Cyclist": (1.74, 0.6, 1.76),
    "Van": (2.2, 1.9, 5.1),
}
CLASSES = ("Car", "Pedestrian", "Cyclist")
DONT_CARE = "DontCare"
EMPTY_EVERY = 12  # one picture of so many has no object

_HUES = {"Car": (0.55, 0.75), "Pedestrian": (0.08, 0.15), "Cyclist": (0.3, 0.4), "Van": (0.8, 0.9)}
_FOCAL = 721.5377 / 1242  # KITTI's, by the width of the picture
_SHIFT = np.array([0.06217, 0.0003, 0.002746])  # of the colour camera against the first one, in metres
_SUPERSAMPLING = 2
_TRIES = 40  # places that an object is tried at before it is left out
_GAP = 0.4  # metres between objects
_TALL, _SMALL = 1.5, 25  # an average car at the far end is so many metres and pixels high
_FULL, _PARTLY, _SEEN = 0.9, 0.5, 0.15  # visible shares of KITTI's levels 0, 1 and 2; below, nobody minds


@dataclass(frozen=True)
class SceneObject:
    """One cuboid of a scene.

    Attributes:
        kind: its class, one of :data:`SIZES`.
        size: height, width and length in metres.
        location: middle of the lower face ``(3,)`` in metres.
        rotation: about the vertical axis, in radians of [-pi, pi].
        box: left, top, right and bottom in pixels, of what lies inside the picture.
        truncated: share of the 2D box outside the picture.
        visible: share of its pixels that no other cuboid hides.
    """

    kind: str
    size: tuple[float, float, float]
    location: np.ndarray
    rotation: float
    box: tuple[float, float, float, float]
    truncated: float
    visible: float

    @property
    def occluded(self) -> int:
        """KITTI's level: 0 fully visible, 1 partly, 2 largely occluded."""
        return 0 if self.visible >= _FULL else 1 if self.visible >= _PARTLY else 2

    def label(self, camera: np.ndarray) -> str:
        """Return the line of the label file; of an object that is hardly visible only its region, as ``DontCare``.

        Args:
            camera: position of the camera ``(3,)`` in metres.
        """
        box = " ".join(f"{value:.2f}" for value in self.box)
        if self.visible < _SEEN:
            return f"{DONT_CARE} -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10"
        ray = self.location - camera
        alpha = _wrapped(self.rotation - np.arctan2(ray[0], ray[2]))
        numbers = " ".join(f"{value:.2f}" for value in (*self.size, *self.location, self.rotation))
        return f"{self.kind} {self.truncated:.2f} {self.occluded} {alpha:.2f} {box} {numbers}"


@dataclass(frozen=True)
class KittiScene:
    """A picture ``(H, W, 3)`` uint8 RGB, its objects, and its calibration ``(3, 4)``."""

    picture: np.ndarray
    objects: list[SceneObject]
    p2: np.ndarray

    @property
    def labels(self) -> list[str]:
        """Lines of the label file, those without a class last."""
        camera = camera_of(self.p2)
        lines = [one.label(camera) for one in self.objects]
        return sorted(lines, key=lambda line: line.startswith(DONT_CARE))


def calibration(size: tuple[int, int], focal: float | None = None) -> np.ndarray:
    """Return a projection ``(3, 4)`` like that of KITTI's left colour camera, for a picture of another size.

    Args:
        size: width and height of the picture.
        focal: focal length in pixels; KITTI's field of view if it is left out.
    """
    width, height = size
    focal = focal or _FOCAL * width
    inner = np.array([[focal, 0, 0.4908 * width], [0, focal, 0.461 * height], [0, 0, 1]])
    # KITTI's fourth column: the shift in pixels times metres, and the forward part in metres
    return np.concatenate([inner, (_SHIFT * [focal, focal, 1])[:, None]], axis=1)


def camera_of(p2: np.ndarray) -> np.ndarray:
    """Return the position ``(3,)`` of a camera in metres."""
    return -np.linalg.solve(p2[:, :3], p2[:, 3])


def corners(size: Sequence[float], location: np.ndarray, rotation: float) -> np.ndarray:
    """Return the corners ``(8, 3)`` of a cuboid in metres."""
    height, width, length = size
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-1, 0) for z in (-0.5, 0.5)])
    return (signs * [length, height, width]) @ _turn(rotation).T + location


def project(p2: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return pixels ``(N, 2)`` of points ``(N, 3)``; the middle of the first pixel is (0, 0)."""
    rows = points @ p2[:, :3].T + p2[:, 3]
    return rows[:, :2] / rows[:, 2:]


def kitti_scene(
    size: tuple[int, int] = (400, 120),
    seed: int = 0,
    objects: int = 4,
    classes: Sequence[str] = CLASSES,
    focal: float | None = None,
) -> KittiScene:
    """Return a scene with up to a number of objects, between the near end of the road and where cars get small.

    Args:
        size: width and height of the picture in pixels.
        seed: of the scene.
        objects: how many at most.
        classes: those that are drawn from, of :data:`SIZES`; the first one three times as often as each other.
        focal: focal length in pixels; KITTI's field of view if it is left out.

    Raises:
        ValueError: the picture is smaller than 96 x 32, the number of objects is negative, or a class is unknown or
            there is none.
    """
    width, height = size
    if width < 96 or height < 32 or objects < 0:
        raise ValueError(f"size={size} must be at least (96, 32) and objects={objects} at least 0")
    if not classes:
        raise ValueError(f"classes=() names none. Fix: some of {tuple(SIZES)}")
    if unknown := [name for name in classes if name not in SIZES]:
        raise ValueError(f"classes={tuple(classes)} must be some of {tuple(SIZES)}; unknown: {unknown}")
    draw = np.random.Generator(np.random.PCG64(seed))
    p2 = calibration(size, focal)
    ground = 1.65 + 0.05 * draw.standard_normal()
    empty = objects == 0 or seed % EMPTY_EVERY == EMPTY_EVERY - 1
    placed: list[tuple] = []
    for _ in range(0 if empty else int(draw.integers(1, objects + 1))):
        for _ in range(_TRIES):
            one = _place(draw, p2, size, ground, classes)
            if all(_apart(one, other) for other in placed):
                placed.append(one)
                break
    colours = [_colour(draw, kind) for kind, *_ in placed]
    picture, shares = _render(draw, p2, size, ground, placed, colours)
    seen = [SceneObject(*one, *_box(p2, size, one), visible=share) for one, share in zip(placed, shares, strict=True)]
    return KittiScene(picture, seen, p2)


def _place(
    draw: np.random.Generator, p2: np.ndarray, size: tuple[int, int], ground: float, classes: Sequence[str]
) -> tuple[str, tuple[float, float, float], np.ndarray, float]:
    weights = np.array([3.0] + [1.0] * (len(classes) - 1))
    kind = str(classes[draw.choice(len(classes), p=weights / weights.sum())])
    # labels have two decimals, and what is drawn is what they say
    dimensions = tuple(round(float(side * (1 + 0.06 * draw.standard_normal())), 2) for side in SIZES[kind])
    focal = p2[0, 0]
    far = focal * _TALL / _SMALL
    near = max(4.0, focal * ground / (size[1] * 0.75))  # the lower face just below the picture's edge
    depth = near + (max(far, near + 4) - near) * draw.random()
    column = size[0] * (0.02 + 0.96 * draw.random())
    across = (column - p2[0, 2]) / focal * depth
    location = np.round([across, ground, depth], 2)
    return kind, dimensions, location, round(float(np.pi * (2 * draw.random() - 1)), 2)


def _apart(one: tuple, other: tuple) -> bool:
    reach = sum(0.5 * float(np.hypot(*dimensions[1:])) for _, dimensions, *_ in (one, other))
    return float(np.hypot(*(one[2] - other[2])[[0, 2]])) > reach + _GAP


def _box(p2: np.ndarray, size: tuple[int, int], one: tuple) -> tuple[tuple[float, float, float, float], float]:
    """Return the 2D box inside the picture, and the share of the whole one that is outside."""
    points = project(p2, corners(*one[1:]))
    first, last = points.min(0), points.max(0)
    edge = np.array(size) - 1.0
    clipped = np.clip(first, 0, edge), np.clip(last, 0, edge)
    inside = np.prod(clipped[1] - clipped[0]) / np.prod(last - first)
    return tuple(round(float(value), 2) for value in np.concatenate(clipped)), round(float(1 - inside), 2)


def _colour(draw: np.random.Generator, kind: str) -> np.ndarray:
    first, last = _HUES[kind]
    hue = first + (last - first) * draw.random()
    return 255 * np.array(colorsys.hsv_to_rgb(hue, 0.75, 0.55 + 0.4 * draw.random()))


def _render(
    draw: np.random.Generator,
    p2: np.ndarray,
    size: tuple[int, int],
    ground: float,
    placed: list[tuple],
    colours: list[np.ndarray],
) -> tuple[np.ndarray, list[float]]:
    """Return the picture, and of each object the share of its pixels that is not hidden."""
    width, height = size
    columns, rows = ((np.arange(side * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING - 0.5 for side in size)
    rays = np.stack([*np.meshgrid(columns, rows), np.ones((len(rows), len(columns)))], axis=-1)
    rays = rays @ np.linalg.inv(p2[:, :3]).T
    camera = camera_of(p2)
    canvas = _background(rays, camera, ground)
    nearest = np.full(rays.shape[:2], np.inf)
    owner = np.full(rays.shape[:2], -1)
    own = np.zeros(len(placed), np.int64)
    for number, (one, colour) in enumerate(zip(placed, colours, strict=True)):
        window = _window(p2, size, one)
        distance, shade = _cuboid(rays[window], camera, one, colour)
        own[number] = np.isfinite(distance).sum()
        front = distance < nearest[window]
        nearest[window][front] = distance[front]
        owner[window][front] = number
        canvas[window][front] = shade[front]
    shares = [float((owner == number).sum() / max(own[number], 1)) for number in range(len(placed))]
    cells = canvas.reshape(height, _SUPERSAMPLING, width, _SUPERSAMPLING, 3).mean((1, 3))
    noisy = cells + draw.integers(-6, 7, cells.shape)
    return noisy.clip(0, 255).round().astype(np.uint8), shares


def _background(rays: np.ndarray, camera: np.ndarray, ground: float) -> np.ndarray:
    """Return sky, and below the horizon a road with lanes and stripes across, which tell the distance."""
    down = rays[..., 1]
    below = down > 1e-6
    reach = np.where(below, (ground - camera[1]) / np.where(below, down, 1), 0)
    x, z = camera[0] + reach * rays[..., 0], camera[2] + reach
    lane = np.abs((x + 1.75) % 3.5 - 1.75) < 0.08
    level = np.where(z % 8 < 4, 96, 108) + np.where(lane & (z % 4 < 2), 110, 0)
    sky = np.stack([150 + 60 * down.clip(-0.5, 0), 180 + 40 * down.clip(-0.5, 0), np.full_like(down, 215)], axis=-1)
    return np.where(below[..., None], level[..., None].astype(np.float64), sky)


def _window(p2: np.ndarray, size: tuple[int, int], one: tuple) -> tuple[slice, slice]:
    """Return rows and columns of the large picture that a cuboid may touch."""
    points = project(p2, corners(*one[1:]))
    first, last = np.floor(points.min(0)), np.ceil(points.max(0)) + 1
    starts, ends = (np.clip(value, 0, size).astype(int) * _SUPERSAMPLING for value in (first, last))
    return slice(starts[1], ends[1]), slice(starts[0], ends[0])


def _cuboid(rays: np.ndarray, camera: np.ndarray, one: tuple, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far along its ray each pixel meets a cuboid, infinite where it does not, and the colour there."""
    _, (height, width, length), location, rotation = one
    turn = _turn(rotation)
    start, along = (camera - location) @ turn, rays @ turn  # in the cuboid's own axes: length, height, width
    low, high = np.array([-length / 2, -height, -width / 2]), np.array([length / 2, 0, width / 2])
    with np.errstate(divide="ignore", invalid="ignore"):  # a ray parallel to a face
        first, second = (low - start) / along, (high - start) / along
    enters, leaves = np.minimum(first, second), np.maximum(first, second)
    distance = enters.max(-1)
    axis = enters.argmax(-1)
    meets = (distance < leaves.min(-1)) & (distance > 0)
    distance = np.where(meets, distance, np.inf)
    point = start + np.where(meets, distance, 0)[..., None] * along
    shade = colour * np.array([1.0, 1.25, 0.75])[axis][..., None]
    ends = axis == 0
    front = point[..., 0] > 0
    shade[ends & front] = 0.35 * colour + [150, 150, 140]
    shade[ends & ~front] = 0.35 * colour + [150, 10, 10]
    glass = (axis != 1) & (point[..., 1] < -0.6 * height) & (point[..., 1] > -0.9 * height)
    shade[glass] *= 0.5
    return distance, shade


def _turn(rotation: float) -> np.ndarray:
    """Return the matrix from a cuboid's axes to the camera's."""
    cosine, sine = np.cos(rotation), np.sin(rotation)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


@cache
def kitti_folder(
    count: int = 8,
    size: tuple[int, int] = (400, 120),
    seed: int = 0,
    objects: int = 4,
    classes: tuple[str, ...] = CLASSES,
    val: int = 2,
    focal: float | None = None,
) -> Path:
    """Write scenes in KITTI's files into a temporary folder, once for each process and settings.

    The folder holds ``ImageSets/{train,val,trainval,test}.txt``, ``training/{image_2,calib,label_2}`` and one scene
    without labels in ``testing/{image_2,calib}``. It is removed when the process ends.

    Args:
        count: scenes with labels.
        size: width and height of the pictures in pixels.
        seed: of the first scene; the next ones count up.
        objects: how many a scene has at most.
        classes: as in :func:`kitti_scene`.
        val: how many of them, the last ones, are for validation.
        focal: as in :func:`kitti_scene`.

    Raises:
        ValueError: no scene is asked for, ``val`` is not within [0, count], or a scene's settings are wrong.
    """
    if not 0 <= val <= count:
        raise ValueError(f"val={val} must be within [0, count={count}]")
    scenes = [kitti_scene(size, seed + number, objects, classes, focal) for number in range(count + 1)]
    parts = ("ImageSets", "training", "testing")
    deeper = ("training/image_2", "training/calib", "training/label_2", "testing/image_2", "testing/calib")
    folder = temporary_folder("kitti_scenes", count, *parts, *deeper)
    names = [f"{number:06d}" for number in range(count)]
    for name, scene in zip(names, scenes, strict=False):
        _write(folder / "training", name, scene)
        (folder / "training/label_2" / f"{name}.txt").write_text(_text(scene.labels), encoding="utf-8")
    _write(folder / "testing", "000000", scenes[-1])
    splits = dict(train=names[: count - val], val=names[count - val :], trainval=names, test=["000000"])
    for split, chosen in splits.items():
        # as in KITTI's own lists, no newline at the end
        (folder / "ImageSets" / f"{split}.txt").write_text("\n".join(chosen), encoding="utf-8")
    return folder


def _write(part: Path, name: str, scene: KittiScene) -> None:
    Image.fromarray(scene.picture).save(part / "image_2" / f"{name}.png")
    plain = scene.p2.copy()
    plain[:, 3] = 0
    other = scene.p2.copy()
    other[0, 3] -= 0.5327 * other[0, 0]  # the right camera
    matrices = {
        "P0": plain,
        "P1": other,
        "P2": scene.p2,
        "P3": other,
        "R0_rect": np.eye(3),
        "Tr_velo_to_cam": np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]]),
        "Tr_imu_to_velo": np.eye(3, 4),
    }
    lines = [f"{key}: " + " ".join(f"{value:.12e}" for value in matrix.ravel()) for key, matrix in matrices.items()]
    (part / "calib" / f"{name}.txt").write_text(_text(lines), encoding="utf-8")


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
