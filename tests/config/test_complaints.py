"""What is wrong with a config is said with the way out."""

import pytest

from mnist import config as configs
from mnist.base.errors import InputError
from tests.material.configs import refusal, write


@pytest.mark.parametrize(
    "text, nested",
    [
        ("train.epochs: 3\n", "train.epochs: .* write train: {epochs: 3}"),
        ("data:\n  loader.mode: sync\n", "data.loader.mode: .* data: {loader: {mode: 'sync'}}"),
        (
            "optimizer:\n  name: sgd\n  schedule.warmup_steps: 5\n",
            "optimizer.schedule.warmup_steps: .* optimizer: {schedule: {warmup_steps: 5}}",
        ),
    ],
)
def test_a_dotted_key_in_a_file_is_told_how_to_nest(tmp_path, text, nested):
    with pytest.raises(InputError, match=nested):
        configs.load(write(tmp_path, text))


@pytest.mark.parametrize(
    "text, fault",
    [
        ("train:\n  epochs：3\n", "fullwidth colon"),
        ("train：\n  epochs： 3\n", "fullwidth colon '：' in line 1"),
        ("train:\n  epochs: 3\n  seed：4\n", "fullwidth colon '：' in line 3"),
        ("# 注释：\ntrain: {epochs: 3， seed: 4}", "fullwidth comma '，' in line 2"),
        ("train:\n\u3000epochs: 3\n", "ideographic space"),
        ("train:\n\u00a0\u00a0epochs: 3\n", "no-break space"),
        ("model: {filters: [8、20]}", "ideographic comma"),
        ("device: {place: ”auto“}", "right double quotation mark"),
        ("train:\n  epochs:3", "a space must follow the colon"),
    ],
)
def test_full_width_punctuation_is_pointed_at(tmp_path, text, fault):
    with pytest.raises(InputError, match=fault) as caught:
        configs.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_full_width_punctuation_in_comments_and_names_is_nobody_s_business(tmp_path):
    path = write(tmp_path, "# 训练：五轮。\nlog:\n  dir: 日志（1）  # 目录：\n")
    assert configs.load(path).log.dir == "日志（1）"
    with pytest.raises(InputError) as caught:
        configs.load(write(tmp_path, "# 训练：\ntrain: {epochs: 0}\n"))
    assert "fullwidth" not in str(caught.value)


def test_full_width_punctuation_with_set():
    assert "fullwidth equals sign" in refusal("train.epochs＝3")
    assert "fullwidth comma" in refusal("model.filters=[8，20]")


@pytest.mark.parametrize(
    "override, key, hint",
    [
        ("optimizer.learning_rat=0.1", "optimizer.learning_rat", "optimizer.learning_rate"),
        ("optimizer.lr=0.1", "optimizer.lr", "optimizer.learning_rate"),
        ("model.filterz=[1,2]", "model.filterz", "model.filters"),
        ("seed=1", "seed", "train.seed"),
        ("trian.epochs=1", "trian", "nearest: train"),
        ("model.name=lennet", "model.name", "nearest: lenet"),
    ],
)
def test_an_unknown_key_or_name_is_named_with_the_nearest_valid_one(override, key, hint):
    message = refusal(override)
    assert f"{key}:" in message and hint in message and "run.yaml" in message


@pytest.mark.parametrize("path", list(configs.CHOICES))
def test_a_key_that_is_called_like_a_choice_is_named_in_full(path):
    for chosen in configs.CHOICES[path]:
        settings = [f"{path}.name={chosen}"]
        if chosen == "piecewise":
            settings += [f"{path}.boundaries=[1]", f"{path}.factors=[1, 0.1]"]
        assert configs.default(settings)
        for name, section in configs.CHOICES[path].items():
            if name not in configs.CHOICES[path][chosen].model_fields:
                assert f"{path}.{name}: there is no such key" in refusal(
                    *settings, f"{path}.{name}=1"
                )
            assert section.model_fields["name"].default == name
    message = refusal("optimizer.name=momentum", "optimizer.momentum=2")
    assert "optimizer.momentum: must be less than 1, not 2" in message
