"""What a domain is learned from, one module a task; `task` says what a task is and how to add one."""

from explorer.expansion.tasks.image_folder import ImageFolder
from explorer.expansion.tasks.mystyle import MyStyle
from explorer.expansion.tasks.nada import Nada
from explorer.expansion.tasks.one_shot_clip import OneShotClip
from explorer.expansion.tasks.style import Style
from explorer.expansion.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "nada": Nada,
    "mystyle": MyStyle,
    "one_shot_clip": OneShotClip,
    "image_folder": ImageFolder,
    "style": Style,
}

__all__ = ["TASKS", "Task"]
