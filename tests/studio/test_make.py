"""Make: from one box to outputs, and on from them."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_world import pass_gate
from tests.studio.waiting import drag, wait_for_value, wait_until

FOX = "a red fox reading a book under the moon"


def start(page: Page, prompt: str, model: str = "icons", count: str = "2") -> None:
    page.locator(".model-picker select").select_option(label=model)
    page.locator(".count-picker select").select_option(count)
    page.locator("#make-prompt").fill(prompt)
    page.keyboard.press("Enter")


def get_jobs(world: World) -> list[dict[str, Any]]:
    return [body["params"] for method, path, body in world.requests if (method, path) == ("POST", "jobs")]


def test_first_run_offers_prompts_and_a_way_on(visit: Any) -> None:
    studio = visit(World(outputs=0))
    page = studio.open("make")
    expect(page.get_by_role("heading", name="What would you like to make?")).to_be_visible()
    page.get_by_role("button", name=FOX).click()
    expect(page.locator("#make-prompt")).to_have_value(FOX)
    for name in ["Make something", "Say what you like", "Bring your files"]:
        expect(page.get_by_role("link", name=re.compile(name))).to_be_visible()


def test_enter_before_the_models_are_read_is_not_lost(visit: Any) -> None:
    world = World(outputs=0)

    is_pressed = False

    async def delay(_request: Any, method: str, parts: list[str], _body: Any) -> None:
        if method == "GET" and parts[0] == "models":
            await pass_gate(lambda: not is_pressed)

    world.answers.append(delay)
    page = visit(world).open("make")
    page.locator("#make-prompt").fill("a lion")
    page.keyboard.press("Enter")
    is_pressed = True
    expect(page.locator("gl-output").first).to_be_visible()
    assert [job["prompt"] for job in get_jobs(world)] == ["a lion"]


def test_pictures_form_and_are_rated_by_one_key(visit: Any) -> None:
    studio = visit(World(outputs=0))
    studio.world.holds_jobs = True
    page = studio.open("make")
    start(page, FOX)
    expect(page.get_by_alt_text("The picture as it forms")).to_be_visible()
    studio.world.holds_jobs = False
    expect(page.locator("gl-output")).to_have_count(2)
    expect(page.locator("gl-output").first.get_by_title("Like (+)", exact=True)).to_be_visible()
    page.locator("gl-output").first.focus()
    page.keyboard.press("+")
    expect(page.locator("gl-output").first.get_by_role("button", name="Like", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("ArrowRight")
    page.keyboard.press("-")
    expect(page.locator("gl-output").nth(1).get_by_role("button", name="Dislike")).to_have_attribute(
        "aria-pressed", "true"
    )
    wait_for_value(
        page, lambda: {output.rating and output.rating.up for output in studio.world.outputs.values()}, {True, False}
    )


def test_a_key_rates_the_output_that_has_the_focus_while_others_arrive(visit: Any) -> None:
    studio = visit(World(outputs=0))
    page = studio.open("make")
    start(page, FOX, count="1")
    expect(page.locator("gl-output")).to_have_count(1)
    page.locator("gl-output").focus()
    first = page.locator("gl-output").get_attribute("data-id")
    page.keyboard.press("Control+Enter")
    expect(page.locator("gl-output")).to_have_count(2)
    page.keyboard.press("+")
    rated = lambda: [id for id, output in studio.world.outputs.items() if output.rating]  # noqa: E731
    wait_until(page, rated)
    assert rated() == [first]


def test_text_streams_and_stop_keeps_what_was_written(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=60)
    world.reply = lambda _: " word" * 4000
    studio = visit(world)
    page = studio.open("make")
    start(page, "On the sea", "shakespeare", "1")
    expect(page.locator(".pending .stream")).to_contain_text("On the sea word word")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped. 1 output was kept.")).to_be_visible()
    expect(page.locator("gl-output")).to_have_count(1)


def test_a_running_job_is_there_again_after_a_reload(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=400)
    world.holds_jobs = True
    world.reply = lambda _: " word" * 200
    studio = visit(world)
    page = studio.open("make")
    start(page, "On the sea", "shakespeare", "1")
    expect(page.locator("gl-stream-text")).to_contain_text("word word")
    page.reload()
    expect(page.locator(".pending .stream")).to_contain_text("On the sea word word")
    world.holds_jobs = False
    expect(page.locator("gl-output")).to_have_count(1)
    expect(page.locator("gl-output")).to_contain_text(re.compile("( word){50}"))


def test_settings_are_sent_and_kept_and_an_error_is_shown_at_its_knob(visit: Any) -> None:
    studio = visit(World(outputs=0))
    page = studio.open("make")
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_text("How closely it follows the prompt")).to_be_visible()
    page.locator("#option-guidance_scale").fill("4,5")
    page.locator("#option-guidance_scale").press("Tab")
    page.locator("#make-seed").fill("7")
    start(page, "a lion", count="1")
    expect(page.locator("gl-output")).to_have_count(1)
    assert get_jobs(studio.world)[0] == {
        "model": "icons/1", "prompt": "a lion", "n": 1, "seed": 7,
        "given": {}, "params": {"guidance_scale": 4.5}, "files": {},
    }  # fmt: skip
    studio.world.fault["jobs"] = (400, {"message": "steps is at least 1.", "param": "params.steps", "code": "x"})
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("#option-steps-error")).to_have_text("steps is at least 1.")
    studio.faults.clear()  # the browser's line about status 400


def test_again_recalls_every_setting(visit: Any) -> None:
    studio = visit(World(outputs=0))
    output = studio.world.add_output("icons/1", "image", prompt=FOX, seed=173)
    page = studio.open(f"make?again={output.id}")
    expect(page.locator("#make-prompt")).to_have_value(FOX)
    expect(page.locator("#make-seed")).to_have_value("173")
    expect(page.locator("#option-guidance_scale")).to_have_value("4.5")
    expect(page.locator("#option-steps")).to_have_value("20")


def test_a_painted_mask_is_sent_with_its_source(visit: Any) -> None:
    studio = visit(World(outputs=0))
    output = studio.world.add_output("icons/1", "image", prompt=FOX)
    page = studio.open(f"make?source={output.id}")
    page.get_by_role("button", name="Change a part").click()
    canvas = page.locator("canvas.mask-paint")
    canvas.hover()
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["width"] / 2, box["height"] / 2
    for shift in (0, 30):  # two strokes
        drag(page, canvas, (x - 40, y + shift), (x + 40, y + shift))
    expect(canvas).to_have_attribute("aria-label", "Mask with 2 strokes")
    canvas.focus()
    page.keyboard.press("Control+z")
    expect(canvas).to_have_attribute("aria-label", "Mask with 1 stroke")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("gl-output")).to_have_count(5)
    [job] = get_jobs(studio.world)
    assert job["files"]["image"] == f"output:{output.id}"
    assert job["files"]["mask"].startswith("upload:")
    mask = studio.world.uploads[job["files"]["mask"].removeprefix("upload:")]
    assert mask.size == (64, 64)
    assert mask.convert("L").getpixel((32, 32)) == 255
    assert mask.convert("L").getpixel((2, 2)) == 0


def test_nothing_can_be_painted_before_the_picture_is_there(visit: Any) -> None:
    world = World(outputs=0)
    output = world.add_output("icons/1", "image", prompt=FOX)
    is_held = True

    async def delay(_request: Any, _method: str, parts: list[str], _body: Any) -> None:
        if parts == ["outputs", output.id, "file"]:
            await pass_gate(lambda: is_held)

    world.answers.append(delay)
    page = visit(world).open(f"make?source={output.id}")
    page.get_by_role("button", name="Change a part").click()
    expect(page.get_by_label("Size of the brush")).to_be_visible()
    expect(page.locator("canvas.mask-paint")).to_have_count(0)
    is_held = False
    expect(page.locator("canvas.mask-paint")).to_be_visible()


def test_an_empty_mask_is_refused_with_the_cure(visit: Any) -> None:
    studio = visit(World(outputs=0))
    output = studio.world.add_output("icons/1", "image", prompt=FOX)
    page = studio.open(f"make?source={output.id}")
    page.get_by_role("button", name="Change a part").click()
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing is painted")
    assert get_jobs(studio.world) == []


def test_outpainting_by_dragging_the_frame(visit: Any) -> None:
    studio = visit(World(outputs=0))
    output = studio.world.add_output("icons/1", "image", prompt=FOX)
    page = studio.open(f"make?source={output.id}")
    page.get_by_role("button", name="Extend").click()
    handle = page.locator(".mask-handle.right")
    drag(page, handle, (7, 20), (107, 20))
    wait_until(page, lambda: int(page.locator("#side-right").input_value()) > 4)
    right = int(page.locator("#side-right").input_value())
    page.locator("#side-top").fill("16")
    page.locator("#side-top").press("Tab")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.locator("gl-output")).to_have_count(5)
    [job] = get_jobs(studio.world)
    assert job["params"] == {"outpaint": f"0,{right},16,0"}


def test_a_dropped_file_is_the_source(visit: Any) -> None:
    studio = visit(World(outputs=0))
    page = studio.open("make")
    page.locator("#make-prompt").evaluate(
        """(box) => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array([1])], 'fox.png', {type: 'image/png'}));
        const drop = new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true});
        box.closest('form').dispatchEvent(drop); }"""
    )
    expect(page.get_by_text("Starts from fox.png")).to_be_visible()


def test_vary_starts_from_the_output(visit: Any) -> None:
    studio = visit(World(outputs=0))
    output = studio.world.add_output("icons/1", "image", prompt=FOX)
    page = studio.open("make")
    page.locator("gl-output").get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Vary a little").click()
    expect(page.locator("gl-output")).to_have_count(5)
    [job] = get_jobs(studio.world)
    assert job["params"] == {"strength": 0.35}
    assert job["files"] == {"image": f"output:{output.id}"}


def test_removing_can_be_undone_by_key(visit: Any) -> None:
    studio = visit(World(outputs=0))
    output = studio.world.add_output("icons/1", "image", prompt=FOX)
    page = studio.open("make")
    page.locator("gl-output").focus()
    page.keyboard.press("Delete")
    expect(page.locator("gl-output")).to_have_count(0)
    expect(page.get_by_text("Moved to the bin")).to_be_visible()
    assert output.removed
    page.keyboard.press("Control+z")
    expect(page.locator("gl-output")).to_have_count(1)
    assert output.removed is None


def test_a_tune_plays_with_a_line_over_its_roll(visit: Any) -> None:
    studio = visit(World(outputs=0))
    studio.world.add_output("tunes/1", "music")
    page = studio.open("make")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator(".score-line")).to_be_visible()


def test_a_preset_and_withheld_copies_are_asked_for(visit: Any) -> None:
    studio = visit(World(outputs=0))
    page = studio.open("make")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Preset").select_option("watercolour")
    expect(page.get_by_text("As a watercolour.")).to_be_visible()
    page.get_by_role("switch", name="Withhold copies").check()
    page.locator("#make-prompt").fill("a lion")
    page.keyboard.press("Enter")
    page.locator("gl-output").first.wait_for()
    [job] = [body["params"] for method, path, body in studio.world.requests if (method, path) == ("POST", "jobs")]
    assert (job["preset"], job["refuse_copies"]) == (["watercolour"], True)
