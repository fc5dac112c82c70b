"""The routes that Label Studio calls, with its requests."""

from typing import Any

import pytest
from tests.serving.process import Serving

from mtl.serving.label_config import bind, parse

CONFIG = """<View>
  <Text name="document" value="$body"/>
  <Labels name="entities" toName="document"><Label value="PERSON"/><Label value="Place"/></Labels>
  <Choices name="tone" toName="document"><Choice value="Good"/><Choice value="Bad" alias="negative"/></Choices>
  <Choices name="topics" toName="document" choice="multiple"><Choice value="Film"/><Choice value="Sport"/></Choices>
  <Number name="stars" toName="document"/>
</View>"""
PAIR = """<View>
  <Text name="hypothesis" value="$second"/><Text name="premise" value="$first"/>
  <Choices name="entailed" toName="premise"><Choice value="Yes"/><Choice value="No"/></Choices>
</View>"""
RELATION = """<View>
  <Text name="t" value="$text"/>
  <Labels name="range" toName="t"><Label value="E1"/><Label value="E2"/></Labels>
  <Relations><Relation value="cause"/><Relation value="Other"/></Relations>
</View>"""
TEXT = "I love this wonderful film , New York !"


def predicted(serving: Serving, config: str, *rows: dict[str, Any]) -> Any:
    body = {"tasks": [{"id": 1, "data": row} for row in rows], "label_config": config, "project": "1.2", "params": {"context": None}}
    reply = serving.post("/label-studio/predict", body)
    assert reply.status == 200, reply.body
    return reply.json


def by_control(prediction: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    names = [item.get("from_name", "relation") for item in prediction["result"]]
    return {name: [item for item in prediction["result"] if item.get("from_name", "relation") == name] for name in names}


def test_a_project_connects(serving: Serving) -> None:
    assert serving.get("/label-studio/health").json == {"status": "UP", "model_class": "mtl"}
    setup = serving.post("/label-studio/setup", {"project": "1.2", "schema": CONFIG, "hostname": "http://localhost", "access_token": None})
    assert setup.json == {"model_version": serving.get("/model").json["model"]}
    assert serving.post("/label-studio/webhook", {"action": "ANNOTATION_CREATED", "project": {"id": 1}}).status == 200


def test_predictions_have_the_names_and_case_of_the_project(serving: Serving) -> None:
    reply = predicted(serving, CONFIG, {"body": TEXT}, {"body": ""}, {"other": 3})
    assert [len(each["result"]) for each in reply["results"][1:]] == [0, 0]
    controls = by_control(reply["results"][0])
    (own,) = serving.post("/predict", {"texts": [TEXT]}).json["predictions"]
    (tone,) = controls["tone"]
    assert (tone["type"], tone["to_name"]) == ("choices", "document")
    assert tone["value"] == {"choices": [{"good": "Good", "bad": "negative"}[own["mood"]["label"]]]}
    assert tone["score"] == pytest.approx(own["mood"]["probability"], abs=1e-4)
    assert controls["stars"][0]["value"]["number"] == pytest.approx(own["stars"]["value"], abs=1e-4)
    film = [each for each in own["topics"]["labels"] if each["label"] == "film"]
    assert [item["value"] for item in controls.get("topics", [])] == [{"choices": ["Film"]} for _ in film]
    entities = [
        {"start": each["start"], "end": each["end"], "text": each["text"], "labels": [{"person": "PERSON", "place": "Place"}[each["type"]]]}
        for each in own["names"]["entities"]
    ]
    assert entities
    assert [item["value"] for item in controls["entities"]] == entities
    assert {item["type"] for item in controls["entities"]} == {"labels"}
    assert all(each["model_version"] == reply["model_version"] for each in reply["results"])


def test_the_texts_of_a_pair_are_taken_by_name(serving: Serving) -> None:
    reply = predicted(serving, PAIR, {"first": "a film", "second": "it is great"})
    (own,) = serving.post("/predict", {"texts": [{"premise": "a film", "hypothesis": "it is great"}]}).json["predictions"]
    (item,) = reply["results"][0]["result"]
    assert (item["from_name"], item["to_name"], item["value"]) == (
        "entailed",
        "premise",
        {"choices": [own["follows"]["label"].capitalize()]},
    )
    assert item["score"] == pytest.approx(own["follows"]["probability"], abs=1e-4)


def test_a_relation_links_the_marked_ranges(serving: Serving) -> None:
    text = "The <e1>boring film</e1> was a <e2>waste</e2> of time"
    first, second, link = predicted(serving, RELATION, {"text": text})["results"][0]["result"]
    assert [first["value"], second["value"]] == [
        {"start": 8, "end": 19, "text": "boring film", "labels": ["E1"]},
        {"start": 35, "end": 40, "text": "waste", "labels": ["E2"]},
    ]
    (own,) = serving.post("/predict", {"texts": [text], "tasks": ["cause"]}).json["predictions"]
    assert (link["type"], link["from_id"], link["to_id"]) == ("relation", first["id"], second["id"])
    assert link["labels"] == [{"Cause(e1,e2)": "cause", "Other": "Other"}[own["cause"]["label"]]]
    assert predicted(serving, RELATION, {"text": "no marks"})["results"][0]["result"] == []


def test_more_rows_than_a_request_may_have_are_predicted(serving: Serving) -> None:
    assert len(predicted(serving, CONFIG, *[{"body": f"film {number}"} for number in range(20)])["results"]) == 20


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("<View", "is not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View/>', "no document type"),
        ("<View/>", "the tasks are: mood, topics, stars, names, follows, cause"),
        ('<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="maybe"/></Choices></View>', "no control"),
    ],
)
def test_another_interface_is_refused(serving: Serving, config: str, reason: str) -> None:
    for route, key in (("setup", "schema"), ("predict", "label_config")):
        reply = serving.post(f"/label-studio/{route}", {key: config, "tasks": []})
        (issue,) = reply.json["detail"]
        assert (reply.status, issue["loc"], reason in issue["msg"]) == (422, ["body", key], True)


def test_the_reversed_relation_starts_at_the_second_range() -> None:
    from mtl.serving.label_studio import _relation
    from mtl.tasks.relation_classification import RelationClassification

    interface = parse(RELATION)
    task = RelationClassification(RelationClassification.fit([{"class": "Cause(e2,e1)"}, {"class": "Other"}]))
    (binding,) = bind(interface, {"cause": task})
    first, second, link = _relation(binding, interface, "<e2>b</e2> <e1>a</e1>", "Cause(e2,e1)", 0.5)
    assert (first["value"]["text"], second["value"]["text"], link["from_id"], link["to_id"]) == ("a", "b", second["id"], first["id"])
